import Foundation
import Testing

@testable import Elver

// That operations answer right is told by the scenarios; here is what goes wrong.
extension ElverTests {
    @Test func wrongTensors() async throws {
        let ops = try Ops(threads: 1), layer = AttentionLayer(heads: 4, keyValueHeads: 2, headDimension: 8)
        let x = [Float](repeating: 1, count: 96)
        let matrix = try ops.pack([Float](repeating: 1, count: 4 * 32), columns: 32)
        let cache = try ops.cache(layer, contextLength: 8)
        let rows: [(String, () throws -> Void)] = [
            ("n_threads", { _ = try Ops(threads: -1) }),
            ("n_threads", { _ = try Ops(threads: .max) }),
            ("33", { _ = try ElementType.q8_0.rowBytes(columns: 33) }),
            ("-32", { _ = try ElementType.q8_0.rowBytes(columns: -32) }),
            ("x", { _ = try ops.quantize(x, columns: 64, as: .q8_0) }),
            ("x", { _ = try ops.quantize(x, columns: 0, as: .q8_0) }),
            ("finite", { _ = try ops.quantize([.nan] + x.dropFirst(), columns: 32, as: .q8_0) }),
            ("rows", { _ = try ops.dequantize([1, 2, 3], columns: 32, of: .q8_0) }),
            ("rows", { _ = try ops.pack([1, 2, 3], columns: 32, of: .q8_0) }),
            ("", { _ = try ops.pack([Float](), columns: 32) }),
            ("x", { _ = try ops.matmul(matrix, Array(x.dropLast())) }),
            ("bias", { _ = try ops.matmul(matrix, x, bias: [1]) }),
            ("experts", { _ = try ops.matmul(experts: [], Choice(count: 1, ids: [0]), x, weighed: false) }),
            ("ids", { _ = try ops.matmul(experts: [matrix], Choice(count: 1, ids: [0, 1, 0]), x, weighed: false) }),
            ("ids", { _ = try ops.matmul(experts: [matrix], Choice(count: 1, ids: [0, -1, 0]), x, weighed: false) }),
            ("ids", { _ = try ops.matmul(experts: [matrix], Choice(count: 0, ids: [0]), x, weighed: false) }),
            ("ids", { _ = try ops.matmul(experts: [matrix], Choice(count: 2, ids: [0]), x, weighed: false) }),
            ("weights", { _ = try ops.matmul(experts: [matrix], Choice(count: 1, ids: [0, 0, 0]), x, weighed: true) }),
            ("x", { _ = try ops.matmul(experts: [matrix], Choice(count: 1, ids: [0, 0]), x, weighed: false) }),
            ("q", { _ = try ops.attention(layer, q: [1], k: x, v: x) }),
            ("k", { _ = try ops.attention(layer, q: x, k: [1], v: x) }),
            ("v", { _ = try ops.attention(layer, q: x, k: x, v: [1]) }),
            ("position", { _ = try cache.rewind(to: 1) }),
            ("position", { _ = try cache.rewind(to: -1) }),
            ("k", { try cache.append(k: [1], v: [1]) }),
            ("v", { try cache.append(k: x, v: [1]) }),
            ("q", { _ = try cache.attend([1]) }),
            ("", { _ = try cache.attend(x) }),  // nothing was appended
            ("n_ctx", { _ = try ops.cache(layer, contextLength: 0) }),
            ("n_ctx", { _ = try ops.cache(layer, contextLength: .min) }),
            ("max_batch", { _ = try ops.cache(layer, contextLength: 8, maximumBatch: -1) }),
            ("top_k", { _ = try Router(experts: 4, count: 5).route(x) }),
            ("top_k", { _ = try Router(experts: 4, count: -1).route(x) }),
            ("logits", { _ = try Router(experts: 5, count: 1).route(x) }),
            ("logits", { _ = try Router(experts: 4, count: 1).route([.nan, 1, 2, 3]) }),
            ("n_groups", { _ = try Router(experts: 4, count: 1, groups: 3).route(x) }),
            ("choice_bias", { _ = try Router(experts: 4, count: 1, choiceBias: [1]).route(x) }),
            ("n_experts", { _ = try Router(experts: .max, count: 1).route(x) }),
        ]
        #expect(try ops.matmul(matrix, []) == [])
        for (index, (name, call)) in rows.enumerated() {
            let error = #expect(throws: ElverError.self, "row \(index)") { try call() }
            #expect(error?.code == .invalidArgument, "row \(index): \(error?.message ?? "")")
            if !name.isEmpty { #expect(error?.message.contains(name) == true, "row \(index): \(error?.message ?? "")") }
        }
        for (name, change) in [
            ("n_heads", { $0.heads = 0 }), ("n_heads", { $0.heads = -4 }), ("n_heads", { $0.heads = .max }),
            ("n_kv_heads", { $0.keyValueHeads = 3 }), ("head_dim", { $0.headDimension = .min }),
            ("head_dim", { $0.headDimension = 0 }), ("v_head_dim", { $0.valueHeadDimension = -1 }),
            ("window", { $0.window = -1 }), ("alibi_slopes", { $0.alibiSlopes = [1] }), ("sinks", { $0.sinks = [] }),
        ] as [(String, (inout AttentionLayer) -> Void)] {
            var wrong = layer
            change(&wrong)
            await expectError(.invalidArgument, naming: name) { _ = try ops.cache(wrong, contextLength: 8) }
            await expectError(.invalidArgument) { _ = try ops.attention(wrong, q: x, k: x, v: x) }
        }
        await expectError(.unsupported) { _ = try ops.quantize([Float](repeating: 1, count: 256), columns: 256, as: .iq1_s) }
    }

    @Test func operationsAfterClosing() async throws {
        let ops = try Ops(threads: 1), x = [Float](repeating: 1, count: 32)
        let layer = AttentionLayer(heads: 1, keyValueHeads: 1, headDimension: 32)
        let matrix = try ops.pack(x, columns: 32), cache = try ops.cache(layer, contextLength: 4)
        ops.close()
        ops.close()
        for call in [
            { _ = try ops.quantize(x, columns: 32, as: .q8_0) }, { _ = try ops.pack(x, columns: 32) },
            { _ = try ops.dequantize([UInt8](repeating: 0, count: 34), columns: 32, of: .q8_0) },
            { _ = try ops.matmul(matrix, x) }, { _ = try ops.attention(layer, q: x, k: x, v: x) },
            { _ = try ops.cache(layer, contextLength: 4) },
            { _ = try ops.matmul(experts: [matrix], Choice(count: 1, ids: [0]), x, weighed: false) },
        ] as [() throws -> Void] {
            await expectError(.invalidArgument, naming: "ops is closed") { try call() }
        }
        try cache.append(k: x, v: x)  // it keeps what it needs
        #expect(try cache.attend(x) == x)
        #expect(try cache.byteCount > 0 && matrix.byteCount >= 128)
        matrix.close()
        cache.close()
        for call in [{ _ = try matrix.rows }, { _ = try matrix.columns }, { _ = try matrix.byteCount }] as [() throws -> Void] {
            await expectError(.invalidArgument, naming: "matrix is closed") { try call() }
        }
        for call in [
            { _ = try cache.position }, { _ = try cache.byteCount }, { try cache.append(k: x, v: x) },
            { _ = try cache.attend(x) }, { try cache.rewind(to: 0) },
        ] as [() throws -> Void] {
            await expectError(.invalidArgument, naming: "cache is closed") { try call() }
        }
    }

    @Test func manyTasksAtOnce() async throws {
        let ops = try Ops(threads: 1)
        let matrix = try ops.pack([Float](repeating: 1, count: 256 * 256), columns: 256)
        let x = [Float](repeating: 1, count: 64 * 256)
        let answers = await withTaskGroup(of: Bool.self) { group in
            for _ in 0..<8 {
                group.addTask {
                    do { return try ops.matmul(matrix, x).allSatisfy { $0 == 256 } } catch {
                        return (error as? ElverError)?.code == .busy
                    }
                }
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
        #expect(answers == [Bool](repeating: true, count: 8))
    }

    @Test func snapshotsThatDoNotFit() async throws {
        let other = try await session(contextLength: 128)
        let session = try await session(contextLength: 64)
        try await session.prefill([1, 2, 3])
        let saved = try await session.save(), logits = try await session.logits
        await expectError(.mismatch, naming: "64", "128") { try await other.restore(saved) }
        await expectError(.badFile) { try await session.restore(saved.prefix(saved.count - 1)) }
        await expectError(.badFile) { try await session.restore(Data("no snapshot".utf8)) }
        await expectError(.badFile) { try await session.restore(Data()) }
        let missing = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        await expectError(.notFound) { try await session.restore(from: missing) }
        #expect(try await session.logits == logits)
        try await session.save(to: missing)
        try await session.rewind(to: 0)
        try await session.restore(from: missing)
        try FileManager.default.removeItem(at: missing)
        #expect(try await session.logits == logits)

        let fork = try await session.fork()
        session.close()
        #expect(try await fork.logits == logits)
        #expect(try await fork.embed([1, 2]).count == 576)
        fork.close()
        await expectError(.invalidArgument, naming: "closed") { _ = try await fork.embed([1]) }
        await expectError(.invalidArgument, naming: "closed") { _ = try await fork.fork() }
        await expectError(.invalidArgument, naming: "closed") { _ = try await fork.save() }
        await expectError(.invalidArgument, naming: "closed") { try await fork.save(to: missing) }
        await expectError(.invalidArgument, naming: "closed") { try await fork.restore(saved) }
        await expectError(.invalidArgument, naming: "closed") { try await fork.restore(from: missing) }
    }
}
