import CElver

/// A token of an answer, or its end.
public struct Event: Hashable, Sendable {
    public enum Finish: Sendable {
        /// The model ended its answer, or one of the texts in `stop` came.
        case stop
        /// `maxTokens`, or the context is full.
        case length
    }
    public struct Alternative: Hashable, Sendable {
        public let id: Int32
        public let logprob: Float
        /// The token's own, which may be a part of a character.
        public let bytes: [UInt8]
    }

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

    init(_ c: elver_event) {
        text = string(c.text, c.text_size)
        id = c.id < 0 ? nil : c.id
        finish = c.finish == ELVER_FINISH_NONE ? nil : c.finish == ELVER_FINISH_LENGTH ? .length : .stop
        logprob = c.logprob
        alternatives = UnsafeBufferPointer(start: c.top, count: Int(c.n_top)).map {
            Alternative(id: $0.id, logprob: $0.logprob, bytes: array($0.bytes, $0.n_bytes))
        }
        bytes = array(c.bytes, c.n_bytes)
        seed = c.seed
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
