import CElver

/// How the rows of a matrix are stored; the numbers are GGUF's.
public enum ElementType: UInt32, Sendable, CaseIterable {
    case f32 = 0
    case f16 = 1
    case q4_0 = 2
    case q4_1 = 3
    case q5_0 = 6
    case q5_1 = 7
    case q8_0 = 8
    case q2_k = 10
    case q3_k = 11
    case q4_k = 12
    case q5_k = 13
    case q6_k = 14
    case iq2_xxs = 16
    case iq2_xs = 17
    case iq3_xxs = 18
    case iq1_s = 19
    case iq4_nl = 20
    case iq3_s = 21
    case iq2_s = 22
    case iq4_xs = 23
    case iq1_m = 29
    case bf16 = 30
    case tq1_0 = 34
    case tq2_0 = 35
    case mxfp4 = 39

    var c: elver_dtype { elver_dtype(rawValue) }

    /// Bytes of a row of so many elements, a multiple of the type's block.
    public func rowBytes(columns: Int) throws -> Int {
        var count = 0
        try check { elver_dtype_row_bytes(c, Int64(columns), &count, $0) }
        return count
    }
}

/// The operations that language models are made of, for those who bring their own graph: threads and kernels of this
/// machine. Tensors are arrays of rows without gaps, whose number follows from their length. One call at a time: another
/// thread gets the code `busy`.
///
///     let ops = try Ops()
///     let matrix = try ops.pack(weights, columns: 64)
///     let y = try ops.matmul(matrix, x)
public final class Ops: Sendable {
    private let handle: Handle

    /// 0 threads: the physical cores that this process may use.
    public init(threads: Int = 0, sharedThreads: Threads? = nil) throws {
        var options = celver_ops_options()
        options.n_threads = try int32(threads, "n_threads")
        options.threads = sharedThreads?.owned.pointer
        handle = try withExtendedLifetime(sharedThreads) {
            try Handle("ops", release: elver_ops_release) { elver_ops_open(&options, $0, $1) }
        }
    }

    /// Encodes rows of so many columns, to the nearest that the type can say.
    public func quantize(_ x: [Float], columns: Int, as type: ElementType) throws -> [UInt8] {
        let n = try rows(of: x, columns, "x")
        return try output(n, try type.rowBytes(columns: columns)) { out, size in
            try handle { ops in
                try check {
                    elver_ops_quantize(ops, type.c, x, Int64(n), Int64(columns), Int64(columns), out, size, $0)
                }
            }
        }
    }

    /// Decodes rows, bytes as a GGUF file holds them.
    public func dequantize(_ bytes: [UInt8], columns: Int, of type: ElementType) throws -> [Float] {
        let n = try rows(of: bytes, type.rowBytes(columns: columns), "rows")
        return try output(n, columns) { out, _ in
            try handle { ops in
                try check {
                    elver_ops_dequantize(
                        ops, type.c, bytes, bytes.count, Int64(n), Int64(columns), out, Int64(columns), $0)
                }
            }
        }
    }

    /// Packs a weight matrix; columns: its inputs.
    public func pack(_ bytes: [UInt8], columns: Int, of type: ElementType) throws -> Matrix {
        try bytes.withUnsafeBytes { try pack($0, columns, type) }
    }

    public func pack(_ floats: [Float], columns: Int) throws -> Matrix {
        try floats.withUnsafeBytes { try pack($0, columns, .f32) }
    }

    private func pack(_ bytes: UnsafeRawBufferPointer, _ columns: Int, _ type: ElementType) throws -> Matrix {
        let n = try rows(of: bytes, type.rowBytes(columns: columns), "rows")
        let ops = try handle.owned()
        return Matrix(
            try Handle("matrix", release: { matrix in withExtendedLifetime(ops) { elver_matrix_release(matrix) } }) {
                elver_matrix_pack(ops.pointer, type.c, bytes.baseAddress, bytes.count, Int64(n), Int64(columns), $0, $1)
            })
    }

    /// Each row of x times the matrix, plus the bias. Block formats round x to 8 bits.
    public func matmul(_ matrix: Matrix, _ x: [Float], bias: [Float]? = nil) throws -> [Float] {
        let columns = try matrix.columns, width = try matrix.rows
        let n = try rows(of: x, columns, "x")
        if let bias { try need(bias.count, rows: width, "bias") }
        return try output(n, width) { out, _ in
            try handle { ops in
                try matrix.handle { matrix in
                    try withFloats(bias) { bias in
                        try check {
                            elver_ops_matmul(
                                ops, matrix, x, Int64(n), Int64(columns), bias, out, Int64(width), $0)
                        }
                    }
                }
            }
        }
    }

    /// Products of tokens with the experts chosen for them. x has a row for each token, or for each choice. Weighed, the
    /// products of a token are added, each times its weight; else they are kept apart.
    public func matmul(experts: [Matrix], _ chosen: Choice, _ x: [Float], weighed: Bool) throws -> [Float] {
        let shares = try experts.map { try $0.handle.owned() }
        let pointers: [OpaquePointer?] = shares.map(\.pointer)
        guard let first = experts.first else {
            throw ElverError(.invalidArgument, "experts: expected at least one matrix, found none", object: "experts")
        }
        let columns = try first.columns, width = try first.rows
        let n = try rows(of: chosen.ids, chosen.count, "ids"), nX = try rows(of: x, columns, "x")
        if weighed { try need(chosen.weights.count, rows: chosen.ids.count, "weights") }
        return try withExtendedLifetime(shares) {
            try output(weighed ? n : chosen.ids.count, width) { out, _ in
                try pointers.withUnsafeBufferPointer { pointers in
                    try chosen.ids.withUnsafeBufferPointer { ids in
                        try withFloats(weighed ? chosen.weights : nil) { weights in
                            var c = celver_experts()
                            c.matrices = pointers.baseAddress
                            c.n_experts = Int64(pointers.count)
                            c.ids = ids.baseAddress
                            c.weights = weights
                            c.n = Int64(n)
                            c.top_k = Int64(chosen.count)
                            try handle { ops in
                                try check {
                                    elver_ops_matmul_experts(
                                        ops, &c, x, Int64(nX), Int64(columns), out, Int64(width), $0)
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    /// Attention: the rows of q, k and v hold the heads of a position. The queries are the last of the positions.
    public func attention(_ layer: AttentionLayer, q: [Float], k: [Float], v: [Float]) throws -> [Float] {
        try layer.withC { c in
            let n = try rows(of: q, layer.qWidth, "q"), keys = try rows(of: k, layer.kWidth, "k")
            try need(v.count, rows: keys, of: layer.vWidth, "v")
            return try output(n, layer.outWidth) { out, _ in
                try handle { ops in
                    try check {
                        elver_ops_attention(
                            ops, &c, q, Int64(n), Int64(layer.qWidth), k, Int64(layer.kWidth), v, Int64(layer.vWidth),
                            Int64(keys), out, Int64(layer.outWidth), $0)
                    }
                }
            }
        }
    }

    /// A cache of keys and values for one causal layer; so many positions are appended at once, at most.
    public func cache(
        _ layer: AttentionLayer, contextLength: Int, maximumBatch: Int = 512, type: CacheType = .default
    ) throws -> Cache {
        let ops = try handle.owned()
        return try layer.withC { c in
            let handle = try Handle(
                "cache", release: { cache in withExtendedLifetime(ops) { elver_cache_release(cache) } }
            ) {
                elver_cache_open(
                    ops.pointer, &c, Int64(contextLength), Int64(min(maximumBatch, contextLength)),
                    elver_cache_type(UInt32(type.rawValue)), $0, $1)
            }
            return Cache(handle, layer)
        }
    }

    /// Lets go of the threads, where no matrix or cache needs them; later calls are errors.
    public func close() { handle.close() }
}

/// A weight matrix in the layout of this machine's kernels, made by `Ops.pack`. Immutable.
public final class Matrix: Sendable {
    let handle: Handle

    init(_ handle: Handle) { self.handle = handle }

    /// Outputs.
    public var rows: Int { get throws { try handle { Int(elver_matrix_rows($0)) } } }
    /// Inputs.
    public var columns: Int { get throws { try handle { Int(elver_matrix_columns($0)) } } }
    /// Bytes that it takes.
    public var byteCount: Int { get throws { try handle { elver_matrix_bytes($0) } } }

    public func close() { handle.close() }
}

/// Keys and values of one attention layer, made by `Ops.cache`. It belongs to one task at a time, and so is not Sendable.
public final class Cache {
    private let handle: Handle
    private let layer: AttentionLayer

    init(_ handle: Handle, _ layer: AttentionLayer) {
        self.handle = handle
        self.layer = layer
    }

    /// Positions filled.
    public var position: Int { get throws { try handle { Int(elver_cache_position($0)) } } }
    /// Bytes that keys and values take.
    public var byteCount: Int { get throws { try handle { elver_cache_bytes($0) } } }

    public func append(k: [Float], v: [Float]) throws {
        let n = try rows(of: k, layer.kWidth, "k")
        try need(v.count, rows: n, of: layer.vWidth, "v")
        try handle { cache in
            try check { elver_cache_append(cache, k, Int64(layer.kWidth), v, Int64(layer.vWidth), Int64(n), $0) }
        }
    }

    /// Attention of the last positions appended, as many as q has.
    public func attend(_ q: [Float]) throws -> [Float] {
        let n = try rows(of: q, layer.qWidth, "q")
        return try output(n, layer.outWidth) { out, _ in
            try handle { cache in
                try check {
                    elver_cache_attend(cache, q, Int64(layer.qWidth), Int64(n), out, Int64(layer.outWidth), $0)
                }
            }
        }
    }

    /// Goes back to a position.
    public func rewind(to position: Int) throws {
        try handle { cache in try check { elver_cache_rewind(cache, Int64(position), $0) } }
    }

    public func close() { handle.close() }
}
