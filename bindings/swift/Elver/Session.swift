import CElver
import Foundation

/// A text's positions in the cache, and what extends it. One thing at a time: a call while an answer is being read, or
/// while another call runs, is an error with the code `busy`, also from another task. When its task is cancelled a call
/// throws `CancellationError` within a layer's work; the session stays usable, at its last whole position.
public actor Session {
    private nonisolated let handle: Handle
    private nonisolated let executor = QueueExecutor("elver.session")
    private nonisolated let interruption: Interruption
    private nonisolated let isUsed = Locked(false)

    public nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    public init(model: Model, options: SessionOptions = SessionOptions()) throws {
        var options = try options.c()
        let interruption = Interruption(model: try model.handle.owned())
        options.go_on = Interruption.goOn
        options.context = interruption.context
        handle = try model.handle { model in
            try Handle("session", release: interruption.releaseSession) { elver_session_open(model, &options, $0, $1) }
        }
        self.interruption = interruption
    }

    private init(_ handle: Handle, _ interruption: Interruption) {
        self.handle = handle
        self.interruption = interruption
    }

    /// Positions filled.
    public var position: Int { get throws { try handle { Int(elver_session_position($0)) } } }
    /// The most positions that there can be.
    public nonisolated var contextLength: Int { get throws { try handle { Int(elver_session_n_ctx($0)) } } }

    /// Appends tokens, a text or rows of embeddings.
    public func prefill(_ input: Input) async throws {
        let use = try Use(self)
        try await run(use) { session in
            try input.withC { input in try check { elver_session_prefill(session, &input, nil, $0) } }
        }
    }

    /// Appends tokens.
    public func prefill(_ ids: [Int32]) async throws { try await prefill(.ids(ids)) }

    /// Logits after the last token, one for each id of the vocabulary; empty when there are none. With them tokens can be
    /// chosen: edit and read them, prefill the id that was chosen, and make text of it with a `Detokenizer`.
    public var logits: [Float] {
        get throws {
            try handle { session in
                var count = 0
                let logits = elver_session_logits(session, &count)
                return Array(UnsafeBufferPointer(start: logits, count: count))
            }
        }
    }

    /// Goes back to a position, 0 to the present one.
    public func rewind(to position: Int) async throws {
        let use = try Use(self)
        let position = try int32(position, "position")
        try await run(use) { session in try check { elver_session_rewind(session, position, $0) } }
    }

    /// Which hidden states make an embedding.
    public enum Pooling: UInt32, Sendable, CaseIterable {
        /// As the model says; else the last of a causal model, and the mean of others.
        case `default` = 0
        case mean = 1
        case first = 2
        case last = 3
    }

    /// The embedding of an input, of unit length: the cosine of two texts is the product of theirs. The session's text is
    /// then this one, without logits.
    public func embed(_ input: Input, pooling: Pooling = .default, progress: OnProgress? = nil) async throws -> [Float] {
        let use = try Use(self)
        return try await run(use) { session in
            let width = Int(elver_model_width(elver_session_model(session)))
            return try [Float](unsafeUninitializedCapacity: width) { out, count in
                try Report.with(progress) { call, context in
                    var options = celver_embed_options()
                    options.pooling = Int32(pooling.rawValue)
                    options.progress = call
                    options.context = context
                    try input.withC { input in
                        try check { elver_session_embed(session, &input, &options, out.baseAddress, width, $0) }
                    }
                }
                count = width
            }
        }
    }

    /// The embedding of a text's tokens.
    public func embed(_ ids: [Int32], pooling: Pooling = .default) async throws -> [Float] {
        try await embed(.ids(ids), pooling: pooling)
    }

    /// Writes the session's tokens, logits and cache to a file, which appears when it is complete. An answer that is under
    /// way is not part of it.
    public func save(to url: URL) async throws {
        let use = try Use(self)
        try await run(use) { session in
            try withSink(url) { sink in try check { elver_session_save(session, &sink, $0) } }
        }
    }

    /// As `save(to:)`, in memory.
    public func save() async throws -> Data {
        let use = try Use(self)
        return try await run(use) { session in
            var data = Data(), sink = celver_sink()
            sink.write = { bytes, count, context in
                guard let bytes, let context else { return 0 }
                context.assumingMemoryBound(to: Data.self).pointee.append(
                    bytes.assumingMemoryBound(to: UInt8.self), count: count)
                return 1
            }
            try withUnsafeMutablePointer(to: &data) { data in
                sink.context = UnsafeMutableRawPointer(data)
                try check { elver_session_save(session, &sink, $0) }
            }
            return data
        }
    }

    /// Makes the session what was saved, to the bit. What was saved of another model, version or setting is an error with
    /// the code `mismatch`; after an error the session holds what it held.
    public func restore(from url: URL) async throws {
        let use = try Use(self)
        try await run(use) { session in
            try withSource(url) { source in try check { elver_session_restore(session, &source, $0) } }
        }
    }

    public func restore(_ data: Data) async throws {
        let use = try Use(self)
        try await run(use) { session in
            try data.withUnsafeBytes { bytes in
                var source = celver_source()
                source.memory = bytes.baseAddress
                source.memory_size = bytes.count
                try check { elver_session_restore(session, &source, $0) }
            }
        }
    }

    /// A session that holds the same, in memory of its own.
    public func fork() async throws -> Session {
        let use = try Use(self), interruption = Interruption(model: self.interruption.model)
        let handle = try await run(use) { session in
            try Handle("session", release: interruption.releaseSession) { out, error in
                elver_session_fork(session, Interruption.goOn, interruption.context, out, error)
            }
        }
        return Session(handle, interruption)
    }

    /// Answers a chat request: JSON shaped as the OpenAI chat API, as elver.h says at `elver_session_chat`. `progress`
    /// tells how far the prompt is read; false cancels.
    public nonisolated func chat(_ request: String, progress: OnProgress? = nil) -> Events {
        Events(self, .chat, progress: progress) { request }
    }

    /// Continues a text: the same keys, and instead of messages "prompt" or "ids".
    public nonisolated func complete(_ request: String, progress: OnProgress? = nil) -> Events {
        Events(self, .completion, progress: progress) { request }
    }

    /// Stops the call that is at work, or the answer that has begun and not ended: an error with the code `cancelled`.
    /// Otherwise nothing: no later call is stopped.
    public nonisolated func cancel() { _ = try? handle { elver_session_cancel($0) } }

    /// Lets go of the session and stops what runs in it; later calls are errors.
    public nonisolated func close() {
        interruption.close()
        handle.close()
    }

    /// An answer is being read, or a call runs.
    nonisolated var isInUse: Bool { isUsed { $0 } }
}

// How answers and calls take turns.
extension Session {
    /// A right to use the session, given back when it is forgotten. An answer holds one from its first call to its last.
    final class Use: Sendable {
        private let session: Session

        init(_ session: Session) throws {
            try session.isUsed { isUsed in
                guard !isUsed else {
                    throw ElverError(.busy, "the session is used by another call or answer now", object: "session")
                }
                isUsed = true
            }
            self.session = session
        }
        deinit { session.isUsed { $0 = false } }
    }

    enum Kind: Sendable { case chat, completion }

    func begin(_ use: Use, _ kind: Kind, _ request: String, _ progress: OnProgress?) async throws {
        let start = kind == .chat ? elver_session_chat : elver_session_complete
        try await run(use) { session in
            try request.withCString { bytes in
                try Report.with(progress) { call, context in
                    var options = celver_answer_options()
                    options.progress = call
                    options.context = context
                    try check { start(session, bytes, request.utf8.count, &options, $0) }
                }
            }
        }
    }

    func next(_ use: Use) async throws -> Event {
        try await run(use) { session in
            var event = celver_event()
            try check { elver_session_next(session, &event, $0) }
            if event.finish == Int32(ELVER_FINISH_CANCELLED.rawValue) { throw ElverError(.cancelled, "cancelled", object: "session") }
            return Event(event)
        }
    }

    /// Runs a C call for whoever holds the right to it; the cancellation of the task stops it.
    private func run<R: Sendable>(_ use: Use, _ call: (OpaquePointer) throws -> R) async throws -> R {
        let stop = Locked(false)
        return try await withTaskCancellationHandler {
            if stop({ $0 }) { throw CancellationError() }
            let owned = try handle.owned()
            interruption.begin(stop)
            do {
                return try withExtendedLifetime((owned, use)) { try call(owned.pointer) }
            } catch let error as ElverError where error.code == .cancelled && stop({ $0 }) {
                throw CancellationError()
            }
        } onCancel: {
            stop { $0 = true }
        }
    }
}

/// What the library asks while a call works in a session: whether to go on.
final class Interruption: Sendable {
    private struct State {
        var isClosed = false
        /// Set when the task of the call that works, or worked last, is cancelled.
        var stop = Locked(false)
    }
    private let state = Locked(State())
    /// Whose log function the session may call.
    let model: Owned

    init(model: Owned) { self.model = model }

    func begin(_ stop: Locked<Bool>) { state { $0.stop = stop } }
    func close() { state { $0.isClosed = true } }

    /// For the C call that opens a session; this lives as long as the session does.
    var context: UnsafeMutableRawPointer { Unmanaged.passUnretained(self).toOpaque() }
    static var goOn: elver_go_on {
        { context in
            guard let context else { return 1 }
            let interruption = Unmanaged<Interruption>.fromOpaque(context).takeUnretainedValue()
            return interruption.state { $0.isClosed || $0.stop { $0 } } ? 0 : 1
        }
    }
    var releaseSession: @Sendable (OpaquePointer?) -> Void {
        { session in withExtendedLifetime(self) { elver_session_release(session) } }
    }
}
