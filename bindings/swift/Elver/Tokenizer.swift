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
                        tokenizer, bytes, text.utf8.count,
                        textFlags(addSpecial: addSpecial, parseSpecial: parseSpecial), &ids, $0)
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
                    elver_tokenizer_decode(tokenizer, ids.baseAddress, ids.count, showFlag(special), &text, $0)
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

    /// What there is to know of a token. An id that is not in the vocabulary is an error.
    public func token(_ id: Int32) throws -> Token {
        try handle { tokenizer in
            var token = celver_token()
            try check { elver_tokenizer_token(tokenizer, id, &token, $0) }
            return Token(id, token)
        }
    }

    /// The id of a special token; nil where the vocabulary has none.
    public func special(_ which: SpecialToken) throws -> Int32? {
        try handle { Self.id(elver_tokenizer_special($0, elver_special(which.rawValue))) }
    }

    /// The id of the token that the model's file spells so; nil where there is none.
    public func find(_ spelling: String) throws -> Int32? {
        try handle { tokenizer in
            Self.id(spelling.withCString { elver_tokenizer_find(tokenizer, $0, spelling.utf8.count) })
        }
    }

    private static func id(_ found: Int32) -> Int32? { found < 0 ? nil : found }

    /// A stream of tokens that become text. `following`: the tokens that stand before it, as those of a prompt that it
    /// continues. `special`: show control tokens.
    public func detokenizer(special: Bool = false, following ids: [Int32] = []) throws -> Detokenizer {
        try Detokenizer(
            handle: handle { tokenizer in
                try Handle("detokenizer", release: elver_detokenizer_release) { out, error in
                    elver_detokenizer_open(tokenizer, showFlag(special), out, error)
                }
            }, following: ids)
    }

    /// The number of tokens.
    public var count: Int { get throws { try handle { Int(elver_tokenizer_n_vocab($0)) } } }

    /// Whether a token ends an answer.
    public func isEnd(_ id: Int32) throws -> Bool { try handle { elver_tokenizer_is_end($0, id) != 0 } }

    public func close() { handle.close() }
}

/// A token of a vocabulary.
public struct Token: Hashable, Sendable {
    public enum Kind: Int32, Sendable, CaseIterable {
        /// A piece of text.
        case normal = 1
        case unknown = 2
        /// It steers the model.
        case control = 3
        case userDefined = 4
        case unused = 5
        case byte = 6
        /// It steers the model, and is shown in text.
        case marker = 7
    }
    public let id: Int32
    /// What it stands for, which may be a part of a character; a control token as it is spelled.
    public let bytes: [UInt8]
    public let kind: Kind
    /// It is not shown in text.
    public let isControl: Bool
    /// It ends an answer.
    public let isEnd: Bool

    init(_ id: Int32, _ c: elver_token) {
        self.id = id
        bytes = array(c.bytes, c.n_bytes)
        kind = Kind(rawValue: c.kind) ?? .unknown
        isControl = c.is_control != 0
        isEnd = c.is_end != 0
    }
}

/// Tokens that a vocabulary has one of, if any.
public enum SpecialToken: UInt32, Sendable, CaseIterable {
    case bos = 0, eos, eot, eom, unk, sep, pad, cls, mask, fimPre, fimSuf, fimMid, fimPad, fimRep, fimSep
}

/// Turns tokens that come one by one into whole characters.
public final class Detokenizer: Sendable {
    private let handle: Handle
    private let turn = Locked(())

    init(handle: Handle, following ids: [Int32]) throws {
        self.handle = handle
        try handle { detokenizer in
            try ids.withUnsafeBufferPointer { ids in
                try check { elver_detokenizer_follow(detokenizer, ids.baseAddress, ids.count, $0) }
            }
        }
    }

    /// What became whole with this token; may be empty.
    public func push(_ id: Int32) throws -> String {
        try text { elver_detokenizer_push($0, id, $1, $2, $3) }
    }

    /// What waited for the rest of its character, as U+FFFD. The next push begins another stream.
    public func finish() throws -> String { try text { elver_detokenizer_finish($0, $1, $2, $3) } }

    public func close() { handle.close() }

    private typealias Call = (
        OpaquePointer, UnsafeMutablePointer<UnsafePointer<CChar>?>, UnsafeMutablePointer<Int>,
        UnsafeMutablePointer<OpaquePointer?>
    ) -> elver_status

    private func text(_ call: Call) throws -> String {
        try turn { _ in
            try handle { detokenizer in
                var text: UnsafePointer<CChar>?, count = 0
                try check { call(detokenizer, &text, &count, $0) }
                return string(text, count)
            }
        }
    }
}
