import CElver

/// What a session keeps keys and values as.
public enum CacheType: Int32, Sendable, CaseIterable {
    case `default` = 0
    case f32 = 1
    case f16 = 2
    case q8_0 = 3
    case q4_0 = 4
}

/// What an answer does when the context is full.
public enum ContextPolicy: Int32, Sendable, CaseIterable {
    /// It ends, with the reason `length`.
    case stop = 0
    /// The text drops its older half, the tokens to keep aside, and the rest is computed anew.
    case slide = 1
}

/// Zeros leave the choice to the library, as elver.h says at `elver_session_options`.
public struct SessionOptions: Hashable, Sendable {
    /// Positions.
    public var contextLength: Int
    /// Tokens of a prefill pass.
    public var maximumBatch: Int
    public var cacheType: CacheType
    /// A session of a higher one goes first, and gives up its pages last.
    public var priority: Int
    public var contextPolicy: ContextPolicy
    /// Tokens at the beginning that `slide` never drops.
    public var keptTokens: Int

    public init(
        contextLength: Int = 0, maximumBatch: Int = 0, cacheType: CacheType = .default, priority: Int = 0,
        contextPolicy: ContextPolicy = .stop, keptTokens: Int = 0
    ) {
        self.contextLength = contextLength
        self.maximumBatch = maximumBatch
        self.cacheType = cacheType
        self.priority = priority
        self.contextPolicy = contextPolicy
        self.keptTokens = keptTokens
    }

    func c() throws(ElverError) -> elver_session_options {
        var c = celver_session_options()
        c.n_ctx = try int32(contextLength, "n_ctx")
        c.max_batch = try int32(maximumBatch, "max_batch")
        c.cache_type = cacheType.rawValue
        c.priority = try int32(priority, "priority")
        c.context_policy = contextPolicy.rawValue
        c.n_keep = try int32(keptTokens, "n_keep")
        return c
    }
}

public struct ModelOptions: Hashable, Sendable {
    /// 0: the physical cores that this process may use, or those that are shared.
    public var threads: Int
    /// Threads that other models use too; nil: threads of its own.
    public var sharedThreads: Threads?
    /// Refuse a model whose plan for `session` needs more bytes; 0: no limit.
    public var budget: UInt64
    /// The most bytes that the pages of all sessions take; 0: as much as those that are open may need.
    public var pageBudget: UInt64
    /// The most tokens of a pass; 0: the largest batch of the open sessions.
    public var passTokens: Int
    /// The most sessions of a pass; 0: all that wait.
    public var passSessions: Int
    /// How many times as long a token may take while prompts of other sessions are read, 1 to 1000; 0: 2.2.
    public var promptGap: Float
    /// What the budget is for.
    public var session: SessionOptions

    public init(
        threads: Int = 0, sharedThreads: Threads? = nil, budget: UInt64 = 0, pageBudget: UInt64 = 0,
        passTokens: Int = 0, passSessions: Int = 0, promptGap: Float = 0, session: SessionOptions = SessionOptions()
    ) {
        self.threads = threads
        self.sharedThreads = sharedThreads
        self.budget = budget
        self.pageBudget = pageBudget
        self.passTokens = passTokens
        self.passSessions = passSessions
        self.promptGap = promptGap
        self.session = session
    }

    /// The C struct borrows the session's.
    func withC<R>(_ body: (inout elver_model_options) throws -> R) throws -> R {
        var c = celver_model_options()
        c.n_threads = try int32(threads, "n_threads")
        c.threads = sharedThreads?.owned.pointer
        c.budget_bytes = budget
        c.page_bytes = pageBudget
        c.pass_tokens = try int32(passTokens, "pass_tokens")
        c.pass_sessions = try int32(passSessions, "pass_sessions")
        c.prompt_gap = promptGap
        return try withExtendedLifetime(sharedThreads) {
            try withUnsafePointer(to: session.c()) { session in
                c.session = session
                return try body(&c)
            }
        }
    }
}

/// Threads for several models to share: one of them makes a pass at a time, each in turn.
public final class Threads: Hashable, Sendable {
    let owned: Owned

    /// 0: the physical cores that this process may use.
    public init(_ count: Int = 0) throws {
        let count = try int32(count, "n_threads")
        owned = try Handle("threads", release: elver_threads_release) { elver_threads_create(count, $0, $1) }.owned()
    }

    public var count: Int { Int(elver_threads_count(owned.pointer)) }

    public static func == (a: Threads, b: Threads) -> Bool { a === b }
    public func hash(into hasher: inout Hasher) { hasher.combine(ObjectIdentifier(self)) }
}

/// How much a line of the log matters.
public enum LogLevel: Int32, Sendable, CaseIterable {
    /// What happens while texts are computed.
    case debug = 0
    /// What was chosen.
    case info = 1
    /// What you should know although the call succeeds.
    case warning = 2
}

/// Takes a line of a model's log, on the thread of the call that it is about.
public typealias OnLog = @Sendable (LogLevel, String) -> Void

/// Sessions that a budget has room for, and the bytes that they and the model take.
public struct Fit: Hashable, Sendable {
    /// 0 where not even the least fits.
    public let contextLength, sessions: Int
    /// `least`: of the least that was asked for.
    public let total, least: UInt64

    init(_ c: elver_fit) {
        contextLength = Int(c.n_ctx)
        sessions = Int(c.n_sessions)
        total = c.total
        least = c.least
    }
}

/// Bytes that a loaded model and one session take, exactly.
public struct Plan: Hashable, Sendable {
    public let weights, cache, scratch, total: UInt64
    /// Of the weights, what a pass of one token reads: of experts, those chosen.
    public let tokenWeights: UInt64
    /// What it was made for.
    public let session: SessionOptions

    init(_ c: elver_plan) {
        weights = c.weights
        cache = c.kv_cache
        scratch = c.scratch
        total = c.total
        tokenWeights = c.token_weights
        session = SessionOptions(
            contextLength: Int(c.n_ctx), maximumBatch: Int(c.max_batch),
            cacheType: CacheType(rawValue: c.cache_type) ?? .default)
    }
}

/// How an answer is made; nil leaves a choice to the library. Encoded, these are the keys of a request.
public struct GenerationOptions: Hashable, Sendable, Encodable {
    /// 0: always the most likely token.
    public var temperature: Double?
    public var topP: Double?
    public var topK: Int?
    public var minP: Double?
    /// Nil: a random one, which events tell.
    public var seed: UInt64?
    public var maxTokens: Int?
    /// Texts that end the answer.
    public var stop: [String]?
    public var presencePenalty: Double?
    public var frequencyPenalty: Double?
    public var repetitionPenalty: Double?

    public init(
        temperature: Double? = nil, topP: Double? = nil, topK: Int? = nil, minP: Double? = nil, seed: UInt64? = nil,
        maxTokens: Int? = nil, stop: [String]? = nil, presencePenalty: Double? = nil, frequencyPenalty: Double? = nil,
        repetitionPenalty: Double? = nil
    ) {
        self.temperature = temperature
        self.topP = topP
        self.topK = topK
        self.minP = minP
        self.seed = seed
        self.maxTokens = maxTokens
        self.stop = stop
        self.presencePenalty = presencePenalty
        self.frequencyPenalty = frequencyPenalty
        self.repetitionPenalty = repetitionPenalty
    }

    enum CodingKeys: String, CodingKey {
        case temperature, seed, stop
        case topP = "top_p"
        case topK = "top_k"
        case minP = "min_p"
        case maxTokens = "max_tokens"
        case presencePenalty = "presence_penalty"
        case frequencyPenalty = "frequency_penalty"
        case repetitionPenalty = "repetition_penalty"
    }
}
