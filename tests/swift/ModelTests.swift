import Foundation
import Testing

@testable import Elver

extension ElverTests {
    @Test func aPlanNeedsNoLoad() async throws {
        let model = try await Model.open(modelURL())
        let small = try model.plan(SessionOptions(contextLength: 64))
        let large = try model.plan(SessionOptions(contextLength: 128))
        #expect(small.total == small.weights + small.cache + small.scratch)
        #expect(large.cache == 2 * small.cache)
        #expect(small.session.contextLength == 64)
        #expect(small.session.cacheType == .f16)
        #expect(try model.vocabularySize == 49152)
        #expect(try model.trainedContextLength == 8192)
    }

    @Test func aBudgetHasRoomForSoMuch() async throws {
        let model = try await Model.open(modelURL())
        let total = try model.plan(SessionOptions(contextLength: 1024)).total
        #expect(try model.fit(total).contextLength == 1024)
        #expect(try model.fit(total).total == total)
        #expect(try model.fit(total - 1, SessionOptions(contextLength: 1024)).sessions == 0)
        #expect(try model.fit(total - 1, SessionOptions(contextLength: 1024)).least == total)
        #expect(try model.fit(.max, sessions: 3).sessions == 3)
        await expectError(.invalidArgument, naming: "n_sessions") { _ = try model.fit(total, sessions: -1) }
    }

    @Test func modelsShareThreadsAndTellTheirLogs() async throws {
        let lines = Locked<[(LogLevel, String)]>([])
        let shared = try Threads(2)
        #expect(shared.count == 2)
        var options = ModelOptions(sharedThreads: shared)
        func loaded() async throws -> Session {
            let model = try await Model(contentsOf: modelURL(), options: options) { level, line in lines { $0.append((level, line)) } }
            return try Session(model: model, options: SessionOptions(contextLength: 64))
        }
        let sessions = try await [loaded(), loaded()]
        try await withThrowingTaskGroup(of: [Float].self) { group in
            for session in sessions {
                group.addTask {
                    try await session.prefill([504, 3575, 282])
                    return try await session.logits
                }
            }
            let first = try await group.next(), second = try await group.next()
            #expect(first?.isEmpty == false)
            #expect(first == second)
        }
        let told = lines { $0 }
        #expect(told.filter { $0.0 == .info && $0.1.hasSuffix("2 threads") }.count == 2)
        #expect(told.filter { $0.0 == .debug && $0.1.contains("a session of 64 positions") }.count == 2)
        options.threads = 2
        await expectError(.invalidArgument, naming: "n_threads") { [options] in _ = try await Model.open(modelURL(), options: options) }
    }

    @Test func loadReportsItsProgress() async throws {
        let fractions = Locked<[Double]>([])
        let model = try await Model.open(modelURL())
        try await model.load { fraction in
            fractions { $0.append(fraction) }
            return true
        }
        let seen = fractions { $0 }
        #expect(seen == seen.sorted())
        #expect(seen.last == 1)
    }

    @Test func loadEndsWhereItsProgressSaysNo() async throws {
        let model = try await Model.open(modelURL())
        await expectError(.cancelled) { try await model.load { $0 < 0.3 } }
        await expectError(.invalidArgument, naming: "not loaded") { _ = try Session(model: model) }
        try await model.load()
        _ = try Session(model: model, options: SessionOptions(contextLength: 16))
    }

    @Test func cancellingTheTaskEndsALoad() async throws {
        let model = try await Model.open(modelURL())
        try await expectSoon {
            let (begun, begin) = AsyncStream<Void>.makeStream()
            let task = Task {
                try await model.load { _ in
                    begin.yield()
                    return true
                }
            }
            for await _ in begun { break }
            return task
        } stop: {
            await cancel($0)
        }
        try await model.load()
    }

    @Test func twoLoadsAtOnceAreOneTooMany() async throws {
        let model = try await Model.open(modelURL())
        let (begun, begin) = AsyncStream<Void>.makeStream()
        let first = Task {
            try await model.load { _ in
                begin.yield()
                Thread.sleep(forTimeInterval: 0.001)
                return true
            }
        }
        for await _ in begun { break }
        await expectError(.busy, naming: "load") { try await model.load() }
        await expectError(.busy, naming: "load") { _ = try model.plan() }
        try await first.value
    }

    @Test func filesThatAreNoModels() async throws {
        await expectError(.notFound, naming: "/no/such.gguf") {
            _ = try await Model.open(URL(fileURLWithPath: "/no/such.gguf"))
        }
        await expectError(.invalidArgument, naming: "https://example.com/m.gguf") {
            _ = try await Model.open(#require(URL(string: "https://example.com/m.gguf")))
        }
        await expectError(.badFile, naming: "ModelTests.swift") {
            _ = try await Model.open(URL(fileURLWithPath: #filePath))
        }
        await expectError(.badFile) { _ = try await Tokenizer(contentsOf: URL(fileURLWithPath: #filePath)) }
    }

    @Test func optionsOutOfRange() async throws {
        let url = try modelURL()
        await expectError(.overBudget) { _ = try await Model.open(url, options: ModelOptions(budget: 1_000_000)) }
        await expectError(.invalidArgument, naming: "n_threads", "-1") {
            _ = try await Model.open(url, options: ModelOptions(threads: -1))
        }
        await expectError(.invalidArgument, naming: "n_threads", "\(Int.max)") {
            _ = try await Model.open(url, options: ModelOptions(threads: .max))
        }
        let model = try await sharedModel()
        for n in [-1, Int.min, Int.max] {
            await expectError(.invalidArgument, naming: "n_ctx", "\(n)") {
                _ = try Session(model: model, options: SessionOptions(contextLength: n))
            }
            await expectError(.invalidArgument, naming: "max_batch", "\(n)") {
                _ = try model.plan(SessionOptions(maximumBatch: n))
            }
        }
    }

    @Test func aClosedModelIsAnErrorAndItsSessionsGoOn() async throws {
        let model = try await Model(contentsOf: modelURL())
        let session = try Session(model: model, options: SessionOptions(contextLength: 32))
        let tokenizer = try model.tokenizer
        model.close()
        model.close()
        await expectError(.invalidArgument, naming: "model is closed") { _ = try model.plan() }
        await expectError(.invalidArgument, naming: "model is closed") { _ = try model.vocabularySize }
        await expectError(.invalidArgument, naming: "model is closed") { _ = try model.trainedContextLength }
        await expectError(.invalidArgument, naming: "model is closed") { _ = try model.tokenizer }
        await expectError(.invalidArgument, naming: "model is closed") { _ = try model.width }
        await expectError(.invalidArgument, naming: "model is closed") { _ = try model.describe(.program) }
        await expectError(.invalidArgument, naming: "model is closed") { _ = try await model.measure() }
        await expectError(.invalidArgument, naming: "model is closed") {
            try await model.pack(to: FileManager.default.temporaryDirectory.appending(path: "never.elver"))
        }
        await expectError(.invalidArgument, naming: "model is closed") { try await model.load() }
        await expectError(.invalidArgument, naming: "model is closed") { _ = try Session(model: model) }
        try await session.prefill([1, 2, 3])
        #expect(try await session.position == 3)
        #expect(try tokenizer.encode("a").isEmpty == false)
    }

    @Test func tokensThereAndBack() async throws {
        let tokenizer = try await Tokenizer(contentsOf: modelURL())
        for text in ["", "Hello, world!", "naïve café 日本語 👩‍👩‍👧 \0 end", "<|im_start|>"] {
            #expect(try tokenizer.decode(tokenizer.encode(text)) == text)
        }
        #expect(try tokenizer.encode("<|im_start|>", parseSpecial: true) == [1])
        #expect(try tokenizer.count == 49152)
        #expect(try tokenizer.isEnd(2) && !tokenizer.isEnd(50) && !tokenizer.isEnd(-1))
        #expect(try tokenizer.decode([1], special: true) == "<|im_start|>")
        let hello = #"{"messages": [{"role": "user", "content": "Hello"}], "add_generation_prompt": true}"#
        #expect(try tokenizer.render(hello).hasSuffix("<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"))

        for id in [Int32(-1), 49152, .max, .min] {
            await expectError(.invalidArgument, naming: "\(id)") { _ = try tokenizer.decode([id]) }
        }
        await expectError(.invalidArgument, naming: "JSON") { _ = try tokenizer.render("no JSON") }
        tokenizer.close()
        tokenizer.close()
        await expectError(.invalidArgument, naming: "tokenizer is closed") { _ = try tokenizer.encode("a") }
        await expectError(.invalidArgument, naming: "tokenizer is closed") { _ = try tokenizer.decode([1]) }
        await expectError(.invalidArgument, naming: "tokenizer is closed") { _ = try tokenizer.render("{}") }
        await expectError(.invalidArgument, naming: "tokenizer is closed") { _ = try tokenizer.count }
        await expectError(.invalidArgument, naming: "tokenizer is closed") { _ = try tokenizer.isEnd(0) }
    }

    @Test func whatThereIsToKnow() async throws {
        let model = try await sharedModel()
        #expect(try model.width == 576)
        let tellsOf: [Model.Description: String] = [
            .metadata: "llama.block_count", .tensors: "token_embd.weight", .specification: "n_layers", .program: "norm",
            .template: "im_start", .machine: "isa",
        ]
        for what in Model.Description.allCases {
            let words = try #require(tellsOf[what])
            #expect(try model.describe(what).contains(words), "\(what)")
        }
        #expect(try describeMachine().contains("usable_cores"))
        #expect(try renderTemplate("{{ a }}!", variables: #"{"a": "x"}"#) == "x!")
        await expectError(.invalidArgument, naming: "JSON") { _ = try renderTemplate("a", variables: "{") }
        #expect(libraryVersion.split(separator: ".").count == 3)
    }

    @Test func modelsAreWrittenAnew() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let file = folder.appending(path: "a.gguf"), session = try await session(contextLength: 64)
        try await session.prefill([1, 2, 3])

        try await sharedModel().pack(to: file)
        let packed = try Session(model: await Model(contentsOf: file), options: SessionOptions(contextLength: 64))
        try await packed.prefill([1, 2, 3])
        #expect(try await packed.logits == session.logits)

        let gemma = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "golden/archs/gemma3.gguf")
        try await quantize(gemma, to: file, type: "F16")
        #expect(try await Model.open(file).describe(.tensors).contains("F16"))
        await expectError(.invalidArgument, naming: "Q9") { try await quantize(gemma, to: file, type: "Q9") }
        await expectError(.notFound) { try await quantize(folder.appending(path: "no"), to: file, type: "F16") }
        await expectError(.invalidArgument, naming: "ant") { try await writeSynthetic("ant:f16", to: file) }
        await expectError(.cancelled) { try await writeSynthetic("llama-1b:q4_0", to: file, layers: 1) { _ in false } }
        await expectError(.invalidArgument, naming: "https") {
            try await sharedModel().pack(to: #require(URL(string: "https://example.org/a")))
        }
    }
}
