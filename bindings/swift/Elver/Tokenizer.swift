import CElver
import Foundation

/// A vocabulary: a model's, or of a file that may hold nothing else.
public final class Tokenizer: Sendable {
    let handle: Handle

    init(handle: Handle) { self.handle = handle }

    public init(contentsOf url: URL) async throws {
        handle = try await offTasks {
            try withSource(url) { source in
                try Handle("tokenizer", release: elver_tokenizer_release) { elver_tokenizer_open(&source, $0, $1) }
            }
        }
    }

    /// Ids of a text. `addSpecial`: BOS and EOS where the model wants them. `parseSpecial`: control tokens spelled in the
    /// text become tokens.
    public func encode(_ text: String, addSpecial: Bool = true, parseSpecial: Bool = false) throws -> [Int32] {
        var ids: OpaquePointer?
        try handle { tokenizer in
            try text.withCString { bytes in
                try check {
                    elver_tokenizer_encode(
                        tokenizer, bytes, text.utf8.count, addSpecial ? 1 : 0, parseSpecial ? 1 : 0, &ids, $0)
                }
            }
        }
        defer { elver_ids_release(ids) }
        return Array(UnsafeBufferPointer(start: elver_ids_data(ids), count: elver_ids_size(ids)))
    }

    /// Text of ids. `special`: show control tokens. An id that is not in the vocabulary is an error.
    public func decode(_ ids: [Int32], special: Bool = false) throws -> String {
        var text: OpaquePointer?
        try handle { tokenizer in
            try ids.withUnsafeBufferPointer { ids in
                try check {
                    elver_tokenizer_decode(tokenizer, ids.baseAddress, ids.count, special ? 1 : 0, &text, $0)
                }
            }
        }
        return take(text)
    }

    /// Renders the chat template that lies beside the vocabulary, or another one; variables: a JSON object.
    public func render(_ variables: String, template: String? = nil) throws -> String {
        var text: OpaquePointer?
        let size = template?.utf8.count ?? 0
        try handle { tokenizer in
            try check { error in
                elver_tokenizer_render(tokenizer, template, size, variables, variables.utf8.count, &text, error)
            }
        }
        return take(text)
    }

    /// The number of tokens.
    public var count: Int { get throws { try handle { Int(elver_tokenizer_n_vocab($0)) } } }

    /// Whether a token ends an answer.
    public func isEnd(_ id: Int32) throws -> Bool { try handle { elver_tokenizer_is_end($0, id) != 0 } }

    public func close() { handle.close() }
}
