import CElver
import Foundation

/// Work done so far, 0 to 1; return false to cancel.
public typealias OnProgress = @Sendable (Double) -> Bool

/// A model, immutable once it is loaded. Sessions keep what they need of it.
///
///     let model = try await Model(contentsOf: url)
public final class Model: Sendable {
    let handle: Handle

    private init(handle: Handle) { self.handle = handle }

    /// Opens a GGUF file: reads and checks what it says, maps its weights. `load` makes it ready for sessions.
    /// `log` takes the lines of its log for as long as the model or a session of it lives.
    public static func open(
        _ url: URL, options: ModelOptions = ModelOptions(), log: OnLog? = nil
    ) async throws -> Model {
        try await offTasks {
            try options.withC { options in
                let lines = log.map(LogLines.init)
                if let lines {
                    options.log = LogLines.take
                    options.log_context = Unmanaged.passUnretained(lines).toOpaque()
                }
                return try Model(
                    handle: withSource(url) { source in
                        try Handle("model", release: { model in withExtendedLifetime(lines) { elver_model_release(model) } }) {
                            elver_model_open(&source, &options, $0, $1)
                        }
                    })
            }
        }
    }

    /// Opens and loads.
    public convenience init(
        contentsOf url: URL, options: ModelOptions = ModelOptions(), log: OnLog? = nil, progress: OnProgress? = nil
    ) async throws {
        let opened = try await Model.open(url, options: options, log: log)
        try await opened.load(progress: progress)
        self.init(handle: opened.handle)
    }

    /// Packs the weights for this machine. Cancelled or failed, nothing stays allocated and it may be called again.
    public func load(progress: OnProgress? = nil) async throws {
        try await reporting(progress) { [handle] call, context in
            try handle { model in try check { elver_model_load(model, call, context, $0) } }
        }
    }

    /// Writes the model as a packed file, which loads by mapping: its weights lie there as this machine's kernels read
    /// them. It is opened like any model, and appears when it is complete.
    public func pack(to url: URL, progress: OnProgress? = nil) async throws {
        try await reporting(progress) { [handle] call, context in
            try withSink(url) { sink in
                var options = celver_pack_options()
                options.progress = call
                options.context = context
                try handle { model in try check { elver_model_pack(model, &sink, &options, $0) } }
            }
        }
    }

    /// What the model with one session of these options takes.
    public func plan(_ options: SessionOptions = SessionOptions()) throws -> Plan {
        var plan = celver_plan(), options = try options.c()
        try handle { model in try check { elver_model_plan(model, &options, &plan, $0) } }
        return Plan(plan)
    }

    /// The largest context that a budget of bytes has room for, of so many sessions (0: one); with a context length in
    /// the options the most sessions of that context, or whether so many fit.
    public func fit(_ budget: UInt64, _ options: SessionOptions = SessionOptions(), sessions: Int = 0) throws -> Fit {
        var fit = celver_fit(), options = try options.c()
        let sessions = try int32(sessions, "n_sessions")
        try handle { model in try check { elver_model_fit(model, budget, &options, sessions, &fit, $0) } }
        return Fit(fit)
    }

    /// Ids of the vocabulary.
    public var vocabularySize: Int { get throws { try handle { Int(elver_model_n_vocab($0)) } } }
    /// The width of its hidden states and embeddings.
    public var width: Int { get throws { try handle { Int(elver_model_width($0)) } } }
    /// Positions that the model was trained for.
    public var trainedContextLength: Int { get throws { try handle { Int(elver_model_n_ctx_train($0)) } } }

    public var tokenizer: Tokenizer {
        get throws {
            try Tokenizer(
                handle: handle { model in
                    try Handle("tokenizer", release: elver_tokenizer_release) { out, error in
                        elver_model_tokenizer(model, out, error)
                    }
                })
        }
    }

    /// What there is to know of a model, which need not be loaded.
    public enum Description: UInt32, Sendable, CaseIterable {
        /// A JSON object: the file's metadata, long arrays cut.
        case metadata = 0
        /// A JSON array of objects: name, type, shape (outermost first), bytes.
        case tensors = 1
        /// A JSON object: the architecture as elver understands it.
        case specification = 2
        /// A line for each phase of the forward pass.
        case program = 3
        /// The chat template's source; empty if there is none.
        case template = 4
        /// A JSON object: as `describeMachine()`, with the threads and the instruction set in use.
        case machine = 5
    }

    public func describe(_ what: Description) throws -> String {
        var text: OpaquePointer?
        try handle { model in try check { elver_model_describe(model, elver_describe(what.rawValue), &text, $0) } }
        return take(text)
    }

    /// What the machine can do with this model's threads, so that speeds become fractions.
    public struct Measurement: Hashable, Sendable {
        /// 8-bit multiply-adds, each two operations.
        public let dotOperationsPerSecond: Double
        public let readBytesPerSecond: Double
    }

    /// Takes about a second and 256 MiB.
    public func measure() async throws -> Measurement {
        try await offTasks { [handle] in
            var machine = celver_machine()
            try handle { model in try check { elver_model_measure(model, &machine, $0) } }
            return Measurement(
                dotOperationsPerSecond: machine.dot_ops_per_s, readBytesPerSecond: machine.read_bytes_per_s)
        }
    }

    /// Lets go of the model: later calls are errors, open sessions go on.
    public func close() { handle.close() }
}

/// A closure as the log function of the C ABI.
final class LogLines: Sendable {
    private let body: OnLog

    init(_ body: @escaping OnLog) { self.body = body }

    static let take: elver_log = { level, line, size, context in
        guard let context else { return }
        Unmanaged<LogLines>.fromOpaque(context).takeUnretainedValue().body(
            LogLevel(rawValue: level) ?? .warning, string(line, size))
    }
}

/// Where a file is, as the C ABI takes it.
func withSource<R>(_ url: URL, _ body: (inout elver_source) throws -> R) throws -> R {
    guard url.isFileURL else {
        throw ElverError(
            .invalidArgument, "url: expected a file URL, found \(url.absoluteString)", object: url.absoluteString)
    }
    let path = url.path
    return try path.withCString { bytes in
        var source = celver_source()
        source.path = bytes
        source.path_size = path.utf8.count
        return try body(&source)
    }
}

/// Where a file is to be written, as the C ABI takes it.
func withSink<R>(_ url: URL, _ body: (inout elver_sink) throws -> R) throws -> R {
    try withSource(url) { source in
        var sink = celver_sink()
        sink.path = source.path
        sink.path_size = source.path_size
        return try body(&sink)
    }
}

/// Runs a C call that tells its progress on a thread of its own; the cancellation of the task stops it.
func reporting(
    _ progress: OnProgress?, _ call: @escaping @Sendable (elver_progress?, UnsafeMutableRawPointer?) throws -> Void
) async throws {
    let isCancelled = Locked(false)
    do {
        try await withTaskCancellationHandler {
            try await offTasks { try Report.with({ (progress?($0) ?? true) && !isCancelled { $0 } }, call) }
        } onCancel: {
            isCancelled { $0 = true }
        }
    } catch let error as ElverError where error.code == .cancelled && Task.isCancelled {
        throw CancellationError()
    }
}

/// A closure as a progress callback of the C ABI.
final class Report {
    private let body: OnProgress

    private init(_ body: @escaping OnProgress) { self.body = body }

    static func with<R>(
        _ body: OnProgress?, _ call: (elver_progress?, UnsafeMutableRawPointer?) throws -> R
    ) rethrows -> R {
        guard let body else { return try call(nil, nil) }
        let report = Report(body)
        return try withExtendedLifetime(report) {
            try call(
                { fraction, context in
                    context.map { Unmanaged<Report>.fromOpaque($0).takeUnretainedValue().body(fraction) } ?? true ? 1 : 0
                }, Unmanaged.passUnretained(report).toOpaque())
        }
    }
}
