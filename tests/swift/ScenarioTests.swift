import Foundation
import Testing

@testable import Elver

/// The table of tests/scenarios, which every door into the library must pass; its README says what a row means.
struct Scenario: Decodable, Sendable, CustomTestStringConvertible {
    struct File: Decodable, Sendable {
        let environment, golden, name, content: String?
        let first_bytes: Int?
    }
    struct Failure: Decodable, Sendable {
        let status: String
        let object: String?
        let says: [String]
    }
    struct Step: Decodable, Sendable {
        let `do`: String
        let with, gives: [String: JSONValue]?
        let fails: Failure?
        let within: Double?
    }
    let name: String
    let file: String?
    let steps: [Step]
    var testDescription: String { name }
    /// Swift's compiler refuses a type that is none, before there is anything to run.
    var compiles: Bool { !steps.contains { ($0.with?["cache_type"] ?? $0.with?["dtype"])?.int != nil } }
}

enum JSONValue: Codable, Sendable, Equatable {
    case null, bool(Bool), number(Double), text(String), list([JSONValue]), object([String: JSONValue])

    init(from decoder: any Decoder) throws {
        let c = try decoder.singleValueContainer()
        if c.decodeNil() { self = .null } else if let v = try? c.decode(Bool.self) { self = .bool(v) }
        else if let v = try? c.decode(Double.self) { self = .number(v) }
        else if let v = try? c.decode(String.self) { self = .text(v) }
        else if let v = try? c.decode([JSONValue].self) { self = .list(v) }
        else { self = .object(try c.decode([String: JSONValue].self)) }
    }
    func encode(to encoder: any Encoder) throws {
        var c = encoder.singleValueContainer()
        switch self {
        case .null: try c.encodeNil()
        case .bool(let v): try c.encode(v)
        case .number(let v): if let n = Int(exactly: v) { try c.encode(n) } else { try c.encode(v) }
        case .text(let v): try c.encode(v)
        case .list(let v): try c.encode(v)
        case .object(let v): try c.encode(v)
        }
    }
    init(_ n: Int) { self = .number(Double(n)) }
    init(optional id: Int32?) { self = id.map { JSONValue(Int($0)) } ?? .null }
    init(_ ids: [Int32]) { self = .list(ids.map { .number(Double($0)) }) }

    var int: Int? { if case .number(let v) = self { Int(exactly: v) } else { nil } }
    var double: Double? { if case .number(let v) = self { v } else { nil } }
    var bool: Bool? { if case .bool(let v) = self { v } else { nil } }
    var string: String? { if case .text(let v) = self { v } else { nil } }
    var object: [String: JSONValue]? { if case .object(let v) = self { v } else { nil } }
    var list: [JSONValue]? { if case .list(let v) = self { v } else { nil } }
    /// Of a tensor.
    var floats: [Float]? { self["values"]?.list?.compactMap { $0.double.map(Float.init) } }
    var bytes: [UInt8]? { self["values"]?.list?.compactMap { $0.int.map { UInt8(truncatingIfNeeded: $0) } } }
    var shape: [Int]? { self["shape"]?.list?.compactMap(\.int) }
    subscript(key: String) -> JSONValue? { if case .object(let v) = self { v[key] } else { nil } }

    init(shape: [Int], _ values: [some BinaryFloatingPoint]) {
        self = .object(["shape": .list(shape.map { JSONValue($0) }), "values": .list(values.map { .number(Double($0)) })])
    }
    init(shape: [Int], _ values: [some BinaryInteger]) {
        self = .object(["shape": .list(shape.map { JSONValue($0) }), "values": .list(values.map { JSONValue(Int($0)) })])
    }
    /// Values by their index, as logits are compared.
    init(byIndex values: [Float]) {
        let named = values.enumerated().map { ("\($0)", JSONValue.number(Double($1))) }
        self = .object(Dictionary(uniqueKeysWithValues: named))
    }

    var ids: [Int32]? { if case .list(let v) = self { v.compactMap { $0.int.map { Int32($0) } } } else { nil } }
    var json: String { get throws { String(decoding: try JSONEncoder().encode(self), as: UTF8.self) } }
}

private let tests = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()

private struct Table: Decodable {
    let files: [String: Scenario.File]
    let scenarios: [Scenario]

    static func rows() throws -> [Scenario] { try shared.get().scenarios.filter { $0.compiles } }

    static let shared = Result {
        try JSONDecoder().decode(Table.self, from: Data(contentsOf: tests.appending(path: "scenarios/scenarios.json")))
    }
}

extension ElverTests {
    @Test(arguments: try Table.rows()) func scenario(_ row: Scenario) async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let door = Door(url: try row.file.map { name in
            try url(of: #require(Table.shared.get().files[name]), in: folder)
        })
        for (number, step) in row.steps.enumerated() {
            let place = Comment(rawValue: "step \(number + 1), \(step.do)")
            do {
                let result = try await door.take(step.do, step.with ?? [:])
                #expect(step.fails == nil, place)
                for (key, wanted) in step.gives ?? [:] { compare(wanted, result[key], step.within, place) }
            } catch {
                compare(error, step.fails, door.url?.path ?? "", place)
            }
        }
    }

    private func url(of file: Scenario.File, in folder: URL) throws -> URL {
        if let variable = file.environment {
            return URL(fileURLWithPath: try #require(ProcessInfo.processInfo.environment[variable]))
        }
        var data: Data?
        var name = file.name ?? "model.gguf"
        if let golden = file.golden {
            let source = tests.appending(path: "golden/" + golden)
            guard let count = file.first_bytes else { return source }
            data = try Data(contentsOf: source).prefix(count)
            name = "cut.gguf"
        } else if let content = file.content {
            data = Data(content.utf8)
        }
        let url = folder.appending(path: name)
        try data?.write(to: url)
        return url
    }

    private func compare(_ wanted: JSONValue, _ found: JSONValue?, _ within: Double?, _ place: Comment) {
        guard case .object(let wanted) = wanted, case .object(let found)? = found else {
            #expect(found == wanted, place)
            return
        }
        if let values = wanted["values"]?.list, let close = found["values"]?.list {
            #expect(wanted["shape"] == found["shape"], place)
            #expect(values.count == close.count, place)
            for (a, b) in zip(values, close) {
                #expect(abs((a.double ?? .nan) - (b.double ?? .nan)) <= within ?? 0, place)
            }
            return
        }
        let within = within ?? 0
        for (id, logit) in wanted {
            let difference = abs((logit.double ?? .nan) - (found[id]?.double ?? .nan))
            #expect(difference <= within, place)
        }
    }

    private func compare(_ error: any Error, _ wanted: Scenario.Failure?, _ path: String, _ place: Comment) {
        guard let wanted, let error = error as? ElverError else {
            Issue.record(error, place)
            return
        }
        #expect("\(error.code)".filter(\.isLetter).lowercased() == wanted.status.filter(\.isLetter), place)
        if let object = wanted.object {
            #expect(error.object == object.replacingOccurrences(of: "{file}", with: path), place)
        }
        for words in wanted.says {
            #expect(error.message.contains(words.replacingOccurrences(of: "{file}", with: path)), place)
        }
    }
}

/// The calls that steps name, through this package.
private final class Door {
    let url: URL?
    private let operations = OpsDoor()
    private var saved: Data?
    private var model: Model?
    private var session: Session?
    private var detokenizer: Detokenizer?
    private var answer: Events.Iterator?

    init(url: URL?) { self.url = url }

    func take(_ call: String, _ with: [String: JSONValue]) async throws -> [String: JSONValue] {
        if let result = try operations.take(call, with) { return result }
        switch call {
        case "open":
            var options = ModelOptions()
            options.threads = with["n_threads"]?.int ?? 0
            options.budget = UInt64(with["budget_bytes"]?.int ?? 0)
            if let shared = with["shared_threads"]?.int { options.sharedThreads = try Threads(shared) }
            let model = try await Model.open(#require(url), options: options)
            self.model = model
            return [
                "n_vocab": JSONValue(try model.vocabularySize), "n_ctx_train": JSONValue(try model.trainedContextLength),
            ]
        case "load":
            try await #require(model).load(progress: progress(with))
            return [:]
        case "plan":
            let plan = try #require(model).plan(try sessionOptions(with))
            return [
                "kv_cache": JSONValue(Int(plan.cache)), "n_ctx": JSONValue(plan.session.contextLength),
                "max_batch": JSONValue(plan.session.maximumBatch), "cache_type": .text("\(plan.session.cacheType)"),
            ]
        case "fit":
            let model = try #require(model)
            let total = try model.plan(try sessionOptions(with["budget_of"]?.object ?? [:])).total
            let fit = try model.fit(
                UInt64(Int(total) + (with["more"]?.int ?? 0)), try sessionOptions(with),
                sessions: with["n_sessions"]?.int ?? 0)
            return ["n_ctx": JSONValue(fit.contextLength), "n_sessions": JSONValue(fit.sessions)]
        case "encode":
            let ids = try #require(model).tokenizer.encode(
                with["text"]?.string ?? "", addSpecial: with["add_special"]?.bool ?? true,
                parseSpecial: with["parse_special"]?.bool ?? false)
            return ["ids": JSONValue(ids)]
        case "decode":
            let text = try #require(model).tokenizer.decode(
                with["ids"]?.ids ?? [], special: with["special"]?.bool ?? false)
            return ["text": .text(text)]
        case "token":
            let token = try #require(model).tokenizer.token(id(with))
            return [
                "bytes": .list(token.bytes.map { JSONValue(Int($0)) }), "kind": .text("\(token.kind)"),
                "is_control": .bool(token.isControl), "is_end": .bool(token.isEnd),
            ]
        case "special":
            let name = with["name"]?.string == "fim_mid" ? "fimMid" : with["name"]?.string
            let which = try #require(SpecialToken.allCases.first { "\($0)" == name })
            return ["id": JSONValue(optional: try #require(model).tokenizer.special(which))]
        case "find":
            return ["id": JSONValue(optional: try #require(model).tokenizer.find(with["text"]?.string ?? ""))]
        case "detokenizer":
            detokenizer = try #require(model).tokenizer.detokenizer(
                special: with["special"]?.bool ?? false, following: with["follow"]?.ids ?? [])
            return [:]
        case "push": return ["text": .text(try #require(detokenizer).push(id(with)))]
        case "finish": return ["text": .text(try #require(detokenizer).finish())]
        case "render":
            return ["text": .text(try #require(model).tokenizer.render(try #require(with["variables"]).json))]
        case "session":
            let session = try Session(model: #require(model), options: sessionOptions(with))
            self.session = session
            return ["position": JSONValue(try await session.position), "n_ctx": JSONValue(try session.contextLength)]
        default:
            return try await take(call, with, in: #require(session))
        }
    }

    private func take(
        _ call: String, _ with: [String: JSONValue], in session: Session
    ) async throws -> [String: JSONValue] {
        switch call {
        case "position": break
        case "prefill": try await session.prefill(input(with))
        case "best":
            var logits = try await session.logits
            for id in with["forbid"]?.ids ?? [] { logits[Int(id)] = -.infinity }
            let best = try #require(logits.max())
            return ["id": JSONValue(try #require(logits.firstIndex(of: best)))]
        case "rewind": try await session.rewind(to: with["position"]?.int ?? 0)
        case "cancel": session.cancel()
        case "logits":
            let logits = try await session.logits
            guard !logits.isEmpty else { return ["logits": .null] }
            return ["logits": JSONValue(byIndex: logits)]
        case "embed":
            let pooling = Session.Pooling.allCases.first { "\($0)" == with["pooling"]?.string } ?? .default
            return ["embedding": JSONValue(byIndex: try await session.embed(input(with), pooling: pooling))]
        case "save": saved = try await session.save()
        case "restore": try await session.restore(#require(saved))
        case "fork":
            let fork = try await session.fork()
            self.session = fork
            return ["position": JSONValue(try await fork.position)]
        case "chat", "complete":
            answer = nil
            let request = try with["request"]?.json ?? "{}"
            let events =
                call == "chat"
                ? session.chat(request, progress: progress(with)) : session.complete(request, progress: progress(with))
            var answer = events.makeAsyncIterator()
            try await answer.begin()
            self.answer = answer
        case "next":
            guard var answer else {
                _ = try await session.next(Session.Use(session))  // what no iterator can do
                return [:]
            }
            let event = try #require(try await answer.next())
            self.answer = answer
            return [
                "kind": .text("\(event.kind)"), "text": .text(event.text), "id": JSONValue(Int(event.id ?? -1)),
                "finish": .text(event.finish.map { "\($0)" } ?? "none"),
            ].merging(counts(event)) { $1 }
        case "answer":
            var answer = try #require(answer)
            defer { self.answer = nil }
            var text = "", ids: [Int32] = [], finish = "none", counts: [String: JSONValue] = [:]
            do {
                while let event = try await answer.next() {
                    text += event.text
                    if let id = event.id { ids.append(id) }
                    if let end = event.finish { finish = "\(end)" }
                    counts = self.counts(event)
                }
            } catch let error as ElverError where error.code == .cancelled {
                finish = "cancelled"
            }
            return ["text": .text(text), "ids": JSONValue(ids), "finish": .text(finish)].merging(counts) { $1 }
        default: Issue.record("a step \(call) is not known")
        }
        return ["position": JSONValue(try await session.position)]
    }

    private func id(_ with: [String: JSONValue]) -> Int32 { Int32(with["id"]?.int ?? 0) }

    private func input(_ with: [String: JSONValue]) -> Input {
        if let text = with["text"]?.string {
            return .text(
                text, addSpecial: with["add_special"]?.bool ?? true, parseSpecial: with["parse_special"]?.bool ?? false)
        }
        guard let rows = with["rows"] else { return .ids(with["ids"]?.ids ?? []) }
        return .embeddings(rows.floats ?? [], width: rows.shape?.last ?? 0)
    }

    private func counts(_ event: Event) -> [String: JSONValue] {
        [
            "counts": JSONValue([Int32(event.counts.prompt), Int32(event.counts.generated)]),
            "cached": JSONValue(event.counts.cached),
        ]
    }

    private func progress(_ with: [String: JSONValue]) -> OnProgress? {
        with["cancel_at"]?.double.map { limit in { $0 < limit } }
    }

    private func sessionOptions(_ with: [String: JSONValue]) throws -> SessionOptions {
        var options = SessionOptions()
        options.contextLength = with["n_ctx"]?.int ?? 0
        options.maximumBatch = with["max_batch"]?.int ?? 0
        if let type = with["cache_type"]?.string {
            options.cacheType = try #require(CacheType.allCases.first { "\($0)" == type })
        }
        if with["context_policy"]?.string == "slide" { options.contextPolicy = .slide }
        options.keptTokens = with["n_keep"]?.int ?? 0
        return options
    }
}
