import CElver

/// What an attention layer is; what the fields mean is told at `elver_attention_options` in elver_ops.h.
public struct AttentionLayer: Hashable, Sendable {
    public var heads: Int
    public var keyValueHeads: Int
    public var headDimension: Int
    /// 0: as `headDimension`.
    public var valueHeadDimension: Int
    public var causal: Bool
    /// Positions that a query sees, its own included; 0: all.
    public var window: Int
    /// 0: 1 / sqrt(headDimension).
    public var scale: Float
    /// 0: none.
    public var softCap: Float
    /// One for each head.
    public var alibiSlopes: [Float]?
    /// One for each head.
    public var sinks: [Float]?

    public init(
        heads: Int, keyValueHeads: Int, headDimension: Int, valueHeadDimension: Int = 0, causal: Bool = true,
        window: Int = 0, scale: Float = 0, softCap: Float = 0, alibiSlopes: [Float]? = nil, sinks: [Float]? = nil
    ) {
        self.heads = heads
        self.keyValueHeads = keyValueHeads
        self.headDimension = headDimension
        self.valueHeadDimension = valueHeadDimension
        self.causal = causal
        self.window = window
        self.scale = scale
        self.softCap = softCap
        self.alibiSlopes = alibiSlopes
        self.sinks = sinks
    }

    private var vHeadDimension: Int { valueHeadDimension == 0 ? headDimension : valueHeadDimension }
    var qWidth: Int { heads * headDimension }
    var kWidth: Int { keyValueHeads * headDimension }
    var vWidth: Int { keyValueHeads * vHeadDimension }
    var outWidth: Int { heads * vHeadDimension }

    /// The C struct borrows the arrays. Numbers that C can take do not overflow the widths.
    func withC<R>(_ body: (inout elver_attention_options) throws -> R) throws -> R {
        var c = celver_attention_options()
        c.n_heads = try int32(heads, "n_heads")
        c.n_kv_heads = try int32(keyValueHeads, "n_kv_heads")
        c.head_dim = try int32(headDimension, "head_dim")
        c.v_head_dim = try int32(valueHeadDimension, "v_head_dim")
        c.causal = causal ? 1 : 0
        c.window = try int32(window, "window")
        c.scale = scale
        c.soft_cap = softCap
        if let alibiSlopes { try need(alibiSlopes.count, rows: heads, "alibi_slopes") }
        if let sinks { try need(sinks.count, rows: heads, "sinks") }
        return try withFloats(alibiSlopes) { slopes in
            try withFloats(sinks) { sinks in
                c.alibi_slopes = slopes
                c.sinks = sinks
                return try body(&c)
            }
        }
    }
}

/// Experts that were chosen for tokens: so many for each, best first.
public struct Choice: Hashable, Sendable {
    public var count: Int
    /// [tokens, count]
    public var ids: [Int32]
    /// [tokens, count]
    public var weights: [Float]

    public init(count: Int, ids: [Int32], weights: [Float] = []) {
        self.count = count
        self.ids = ids
        self.weights = weights
    }
}

/// How experts are chosen; what the fields mean is told at `elver_router_options` in elver_ops.h.
public struct Router: Hashable, Sendable {
    public enum Score: Int32, Sendable, CaseIterable {
        /// Softmax over all experts, then the choice.
        case softmax = 0
        /// Of each expert by itself, then the choice.
        case sigmoid = 1
        /// The choice, then softmax over those chosen.
        case softmaxChosen = 2
    }
    public var experts: Int
    /// Experts of a token.
    public var count: Int
    public var score: Score
    public var renormalise: Bool
    public var groups: Int
    public var groupsUsed: Int
    public var scale: Float
    /// One for each expert, added to the scores for the choice alone.
    public var choiceBias: [Float]?

    public init(
        experts: Int, count: Int, score: Score = .softmax, renormalise: Bool = false, groups: Int = 1,
        groupsUsed: Int = 1, scale: Float = 1, choiceBias: [Float]? = nil
    ) {
        self.experts = experts
        self.count = count
        self.score = score
        self.renormalise = renormalise
        self.groups = groups
        self.groupsUsed = groupsUsed
        self.scale = scale
        self.choiceBias = choiceBias
    }

    /// Chooses experts for tokens by their logits, [tokens, experts].
    public func route(_ logits: [Float]) throws -> Choice {
        var c = celver_router_options()
        c.score = score.rawValue
        c.n_experts = try int32(experts, "n_experts")
        c.top_k = try int32(count, "top_k")
        c.renormalise = renormalise ? 1 : 0
        c.n_groups = try int32(groups, "n_groups")
        c.n_groups_used = try int32(groupsUsed, "n_groups_used")
        c.scale = scale
        guard count > 0, count <= experts else {
            throw ElverError(.invalidArgument, "top_k: expected 1 to \(experts), found \(count)", object: "top_k")
        }
        let n = try rows(of: logits, experts, "logits")
        if let choiceBias { try need(choiceBias.count, rows: experts, "choice_bias") }
        return try withFloats(choiceBias) { bias in
            c.choice_bias = bias
            var weights: [Float] = []
            let ids: [Int32] = try output(n, count) { ids, _ in
                weights = try output(n, count) { weights, _ in
                    try check { elver_ops_route(&c, logits, Int64(n), Int64(experts), ids, weights, $0) }
                }
            }
            return Choice(count: count, ids: ids, weights: weights)
        }
    }
}

/// How many rows of a width a tensor has.
func rows(of tensor: some Collection, _ width: Int, _ name: String) throws(ElverError) -> Int {
    guard width > 0, tensor.count % width == 0 else {
        throw ElverError(
            .invalidArgument, "\(name): expected rows of \(width), found \(tensor.count) in all", object: name)
    }
    return tensor.count / width
}

func need(_ found: Int, rows: Int, of width: Int = 1, _ name: String) throws(ElverError) {
    let (expected, isTooLarge) = rows.multipliedReportingOverflow(by: width)
    guard !isTooLarge, found == expected else {
        throw ElverError(.invalidArgument, "\(name): expected \(rows) times \(width), found \(found)", object: name)
    }
}

/// An array that a C call fills: its pointer and count.
func output<T>(_ rows: Int, _ width: Int, _ fill: (UnsafeMutablePointer<T>?, Int) throws -> Void) throws -> [T] {
    let (size, isTooLarge) = rows.multipliedReportingOverflow(by: width)
    guard !isTooLarge, size <= Int.max / MemoryLayout<T>.stride else {
        throw ElverError(.invalidArgument, "out: \(rows) rows of \(width) are too many", object: "out")
    }
    return try [T](unsafeUninitializedCapacity: size) { out, count in
        try fill(out.baseAddress, size)
        count = size
    }
}

func withFloats<R>(_ floats: [Float]?, _ body: (UnsafePointer<Float>?) throws -> R) rethrows -> R {
    guard let floats else { return try body(nil) }
    return try floats.withUnsafeBufferPointer { try body($0.baseAddress) }
}
