import CElver

/// What a session reads.
public enum Input: Hashable, Sendable {
    case ids([Int32])
    /// A text, which becomes tokens as `Tokenizer.encode` makes them.
    case text(String, addSpecial: Bool = true, parseSpecial: Bool = false)
    /// Rows of the model's width, one after the other, that take the place of tokens' embeddings.
    case embeddings([Float], width: Int)

    /// As the C ABI takes it.
    func withC<R>(_ body: (inout elver_input) throws -> R) throws -> R {
        var c = celver_input()
        switch self {
        case .ids(let ids):
            return try ids.withUnsafeBufferPointer { ids in
                c.ids = ids.baseAddress
                c.n_ids = ids.count
                return try body(&c)
            }
        case .text(let text, let addSpecial, let parseSpecial):
            c.kind = Int32(ELVER_INPUT_TEXT.rawValue)
            c.flags = textFlags(addSpecial: addSpecial, parseSpecial: parseSpecial)
            return try text.withCString { bytes in
                c.text = bytes
                c.text_size = text.utf8.count
                return try body(&c)
            }
        case .embeddings(let rows, let width):
            guard width > 0, rows.count.isMultiple(of: width) else {
                throw ElverError(
                    .invalidArgument, "width: expected one of whole rows of \(rows.count) floats, found \(width)",
                    object: "width")
            }
            c.kind = Int32(ELVER_INPUT_EMBEDDINGS.rawValue)
            c.n_rows = rows.count / width
            c.width = width
            return try rows.withUnsafeBufferPointer { rows in
                c.embeddings = rows.baseAddress
                return try body(&c)
            }
        }
    }
}

func textFlags(addSpecial: Bool, parseSpecial: Bool) -> UInt32 {
    (addSpecial ? ELVER_TEXT_ADD_SPECIAL.rawValue : 0) | (parseSpecial ? ELVER_TEXT_PARSE_SPECIAL.rawValue : 0)
}

func showFlag(_ special: Bool) -> UInt32 { special ? ELVER_TEXT_SHOW_SPECIAL.rawValue : 0 }
