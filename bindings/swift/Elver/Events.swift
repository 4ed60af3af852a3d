import CElver

/// A token of an answer, or its end.
public struct Event: Hashable, Sendable {
    public enum Finish: Sendable {
        /// The model ended its answer, or one of the texts in `stop` came.
        case stop
        /// `maxTokens`, or the context is full.
        case length
    }
    public enum Kind: Int32, Sendable {
        /// A token of the answer, with the text that became whole.
        case text = 0
        case end = 1
        case progress = 2
        case reasoning = 3
        case toolCall = 4
    }
    /// Tokens of a prompt and of its answer so far.
    public struct Counts: Hashable, Sendable {
        public let prompt: Int
        /// Of the prompt, not computed again.
        public let cached: Int
        public let generated: Int
        /// Computed before it was known whether they would be chosen.
        public let drafted: Int
        /// Of these, chosen.
        public let accepted: Int
    }
    public struct Alternative: Hashable, Sendable {
        public let id: Int32
        public let logprob: Float
        /// The token's own, which may be a part of a character.
        public let bytes: [UInt8]
    }

    public let kind: Kind
    /// Whole characters, may be empty.
    public let text: String
    /// The token, if this is one.
    public let id: Int32?
    /// Nil: more to come.
    public let finish: Finish?
    /// Where the request asked for it, as `alternatives`, most likely first.
    public let logprob: Float
    public let alternatives: [Alternative]
    /// The token's own bytes, which may be a part of a character; a control token as it is spelled.
    public let bytes: [UInt8]
    /// That the answer is drawn with: with it the same request gives the same answer.
    public let seed: UInt64
    public let counts: Counts
    /// That the prompt took, and that the answer took so far, without what its reader does between two events.
    public let promptSeconds: Double
    public let generationSeconds: Double

    init(_ c: elver_event) {
        text = string(c.text, c.text_size)
        id = c.id < 0 ? nil : c.id
        kind = Kind(rawValue: c.kind) ?? .text
        let end = elver_finish(UInt32(c.finish))
        finish = end == ELVER_FINISH_NONE ? nil : end == ELVER_FINISH_LENGTH ? .length : .stop
        logprob = c.logprob
        let first = UnsafeRawPointer(c.top)
        alternatives = (0..<c.n_top).compactMap { i in
            guard let one = first?.advanced(by: i * c.top_stride).assumingMemoryBound(to: elver_logprob.self).pointee
            else { return nil }
            return Alternative(id: one.id, logprob: one.logprob, bytes: array(one.bytes, one.n_bytes))
        }
        bytes = array(c.bytes, c.n_bytes)
        seed = c.seed
        counts = Counts(
            prompt: Int(c.n_prompt), cached: Int(c.n_cached), generated: Int(c.n_generated), drafted: Int(c.n_drafted),
            accepted: Int(c.n_accepted))
        promptSeconds = c.prompt_seconds
        generationSeconds = c.generation_seconds
    }
}

/// The tokens of an answer. Nothing is computed before it is asked for, so a slow reader slows the model; whoever leaves
/// the loop ends the answer. Every iteration begins the answer anew.
public struct Events: AsyncSequence, Sendable {
    private let session: Session
    private let kind: Session.Kind
    private let progress: OnProgress?
    private let request: @Sendable () throws -> String

    /// `request` is asked when the answer's turn has come.
    init(
        _ session: Session, _ kind: Session.Kind, progress: OnProgress? = nil,
        request: @escaping @Sendable () throws -> String
    ) {
        self.session = session
        self.kind = kind
        self.progress = progress
        self.request = request
    }

    public func makeAsyncIterator() -> Iterator { Iterator(events: self) }

    public struct Iterator: AsyncIteratorProtocol {
        fileprivate let events: Events
        private var use: Session.Use?
        private var isOver = false

        fileprivate init(events: Events) { self.events = events }

        public mutating func next() async throws -> Event? { try await next(isolation: nil) }

        public mutating func next(isolation actor: isolated (any Actor)?) async throws -> Event? {
            if isOver {
                use = nil
                return nil
            }
            do {
                try await begin(isolation: actor)
                guard let use else { return nil }
                let event = try await events.session.next(use)
                isOver = event.finish != nil
                return event
            } catch {
                isOver = true
                use = nil
                throw error
            }
        }

        /// Reads the prompt, if that is to be done yet.
        mutating func begin(isolation actor: isolated (any Actor)? = nil) async throws {
            guard use == nil else { return }
            let use = try Session.Use(events.session)
            try await events.session.begin(use, events.kind, events.request(), events.progress)
            self.use = use
        }
    }
}
