import Foundation
import Testing

@testable import Elver

/// The calls of a scenario's steps that are operations.
final class OpsDoor {
    private var ops: Ops?
    private var matrices: [Matrix] = []
    private var cache: Cache?
    private var layer = AttentionLayer(heads: 0, keyValueHeads: 0, headDimension: 0)

    /// Nil: the call is none of these.
    func take(_ call: String, _ with: [String: JSONValue]) throws -> [String: JSONValue]? {
        switch call {
        case "ops": ops = try Ops(threads: with["n_threads"]?.int ?? 0)
        case "row_bytes":
            return ["n_bytes": JSONValue(try type(with).rowBytes(columns: #require(with["k"]?.int)))]
        case "quantize":
            let x = try floats(with, "x"), columns = try shape(with, "x")[1]
            let rows = try #require(ops).quantize(x, columns: columns, as: type(with))
            return ["rows": JSONValue(shape: [x.count / columns, rows.count * columns / x.count], rows)]
        case "dequantize":
            let k = try #require(with["k"]?.int)
            let x = try #require(ops).dequantize(#require(with["rows"]?.bytes), columns: k, of: type(with))
            return ["x": JSONValue(shape: [x.count / k, k], x)]
        case "pack":
            let matrix = try #require(ops).pack(
                #require(with["rows"]?.bytes), columns: #require(with["k"]?.int), of: type(with))
            matrices.append(matrix)
            return ["n_rows": JSONValue(try matrix.rows), "k": JSONValue(try matrix.columns)]
        case "matmul":
            let matrix = try #require(matrices.last)
            let y = try #require(ops).matmul(matrix, floats(with, "x"), bias: with["bias"]?.floats)
            return ["y": try rows(y, matrix)]
        case "matmul_experts":
            let chosen = Choice(
                count: try shape(with, "ids")[1], ids: try #require(with["ids"]?["values"]?.ids),
                weights: with["weights"]?.floats ?? [])
            let y = try #require(ops).matmul(
                experts: matrices, chosen, floats(with, "x"), weighed: with["weights"] != nil)
            return ["y": try rows(y, #require(matrices.first))]
        case "attention":
            let layer = try layer(with)
            let out = try #require(ops).attention(
                layer, q: floats(with, "q"), k: floats(with, "k"), v: floats(with, "v"))
            return ["out": heads(out, layer)]
        case "cache":
            layer = try layer(with)
            cache = try #require(ops).cache(
                layer, contextLength: #require(with["n_ctx"]?.int), maximumBatch: #require(with["max_batch"]?.int),
                type: #require(CacheType.allCases.first { "\($0)" == with["cache_type"]?.string }))
        case "append":
            try #require(cache).append(k: floats(with, "k"), v: floats(with, "v"))
            return ["position": JSONValue(try #require(cache).position)]
        case "attend":
            return ["out": heads(try #require(cache).attend(floats(with, "q")), layer)]
        case "cache_rewind":
            try #require(cache).rewind(to: #require(with["position"]?.int))
            return ["position": JSONValue(try #require(cache).position)]
        case "route":
            let experts = try shape(with, "logits")[1]
            let names: [String: Router.Score] = [
                "softmax": .softmax, "sigmoid": .sigmoid, "softmax_chosen": .softmaxChosen,
            ]
            let router = Router(
                experts: experts, count: try #require(with["top_k"]?.int),
                score: names[with["score"]?.string ?? ""] ?? .softmax, renormalise: with["renormalise"]?.bool ?? false,
                scale: Float(with["scale"]?.double ?? 1), choiceBias: with["choice_bias"]?.floats)
            let chosen = try router.route(floats(with, "logits"))
            let shape = [chosen.ids.count / chosen.count, chosen.count]
            return ["ids": JSONValue(shape: shape, chosen.ids), "weights": JSONValue(shape: shape, chosen.weights)]
        default: return nil
        }
        return [:]
    }

    private func floats(_ with: [String: JSONValue], _ key: String) throws -> [Float] { try #require(with[key]?.floats) }
    private func shape(_ with: [String: JSONValue], _ key: String) throws -> [Int] { try #require(with[key]?.shape) }
    private func type(_ with: [String: JSONValue]) throws -> ElementType {
        try #require(ElementType.allCases.first { "\($0)" == with["dtype"]?.string })
    }
    private func rows(_ y: [Float], _ matrix: Matrix) throws -> JSONValue {
        JSONValue(shape: [y.count / (try matrix.rows), try matrix.rows], y)
    }
    private func heads(_ out: [Float], _ layer: AttentionLayer) -> JSONValue {
        JSONValue(shape: [out.count / layer.outWidth, layer.heads, layer.outWidth / layer.heads], out)
    }
    private func layer(_ with: [String: JSONValue]) throws -> AttentionLayer {
        AttentionLayer(
            heads: try #require(with["n_heads"]?.int), keyValueHeads: try #require(with["n_kv_heads"]?.int),
            headDimension: try #require(with["head_dim"]?.int), valueHeadDimension: with["v_head_dim"]?.int ?? 0,
            causal: with["causal"]?.bool ?? true, window: with["window"]?.int ?? 0,
            scale: Float(with["scale"]?.double ?? 0), softCap: Float(with["soft_cap"]?.double ?? 0),
            alibiSlopes: with["alibi_slopes"]?.floats, sinks: with["sinks"]?.floats)
    }
}
