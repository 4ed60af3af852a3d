import CElver

/// What a session keeps keys and values as.
public enum CacheType: Int32, Sendable, CaseIterable {
    case `default` = 0
    case f32 = 1
    case f16 = 2
    case q8_0 = 3
    case q4_0 = 4
}

/// Zeros leave the choice to the library, as elver.h says at `elver_session_options`.
public struct SessionOptions: Hashable, Sendable {
    /// Positions.
    public var contextLength: Int
    /// Tokens of a prefill pass.
    public var maximumBatch: Int
    public var cacheType: CacheType

    public init(contextLength: Int = 0, maximumBatch: Int = 0, cacheType: CacheType = .default) {
        self.contextLength = contextLength
        self.maximumBatch = maximumBatch
        self.cacheType = cacheType
    }

    func c() throws(ElverError) -> elver_session_options {
        var c = celver_session_options()
        c.n_ctx = try int32(contextLength, "n_ctx")
        c.max_batch = try int32(maximumBatch, "max_batch")
        c.cache_type = cacheType.rawValue
        return c
    }
}

public struct ModelOptions: Hashable, Sendable {
    /// 0: the physical cores that this process may use.
    public var threads: Int
    /// Refuse a model whose plan for `session` needs more bytes; 0: no limit.
    public var budget: UInt64
    /// What the budget is for.
    public var session: SessionOptions

    public init(threads: Int = 0, budget: UInt64 = 0, session: SessionOptions = SessionOptions()) {
        self.threads = threads
        self.budget = budget
        self.session = session
    }

    /// The C struct borrows the session's.
    func withC<R>(_ body: (UnsafePointer<elver_model_options>) throws -> R) throws -> R {
        var c = celver_model_options()
        c.n_threads = try int32(threads, "n_threads")
        c.budget_bytes = budget
        return try withUnsafePointer(to: session.c()) { session in
            c.session = session
            return try body(&c)
        }
    }
}

/// Bytes that a loaded model and one session take, exactly.
public struct Plan: Hashable, Sendable {
    public let weights, cache, scratch, total: UInt64
    /// What it was made for.
    public let session: SessionOptions

    init(_ c: elver_plan) {
        weights = c.weights
        cache = c.kv_cache
        scratch = c.scratch
        total = c.total
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
