import Foundation

/// A conversation with a model.
///
///     let session = try LanguageSession(model: model, instructions: "Answer in one sentence.")
///     for try await text in session.streamResponse(to: "Why is the sky blue?") { show(text) }
///
/// It answers one prompt at a time; another one meanwhile is an error with the code `busy`. A prompt and its answer belong
/// to the conversation when the answer has ended: one that was left or cancelled, or failed, leaves no trace.
public final class LanguageSession: Sendable {
    public struct Message: Hashable, Sendable, Codable {
        public enum Role: String, Sendable, Codable { case system, user, assistant }
        public let role: Role
        public let content: String

        public init(_ role: Role, _ content: String) {
            self.role = role
            self.content = content
        }
    }

    public struct Response: Hashable, Sendable {
        public let content: String
        public let finish: Event.Finish
    }

    private let session: Session
    private let messages: Locked<[Message]>

    /// `instructions` are a system message before the `transcript`.
    public init(
        model: Model, instructions: String? = nil, transcript: [Message] = [],
        options: SessionOptions = SessionOptions()
    ) throws {
        session = try Session(model: model, options: options)
        messages = Locked((instructions.map { [Message(.system, $0)] } ?? []) + transcript)
    }

    /// What was said so far.
    public var transcript: [Message] { messages { $0 } }
    public var isResponding: Bool { session.isInUse }

    public func respond(to prompt: String, options: GenerationOptions = GenerationOptions()) async throws -> Response {
        var text = "", finish = Event.Finish.stop
        for try await event in events(prompt, options) {
            text += event.text
            if let end = event.finish {
                finish = end
                add(prompt, text)
            }
        }
        return Response(content: text, finish: finish)
    }

    /// The answer as it grows: each element is the text so far.
    public func streamResponse(
        to prompt: String, options: GenerationOptions = GenerationOptions()
    ) -> ResponseStream {
        ResponseStream(session: self, prompt: prompt, events: events(prompt, options))
    }

    public struct ResponseStream: AsyncSequence, Sendable {
        fileprivate let session: LanguageSession
        fileprivate let prompt: String
        fileprivate let events: Events

        public func makeAsyncIterator() -> Iterator { Iterator(stream: self, events: events.makeAsyncIterator()) }

        public struct Iterator: AsyncIteratorProtocol {
            fileprivate let stream: ResponseStream
            fileprivate var events: Events.Iterator
            private var text = ""

            fileprivate init(stream: ResponseStream, events: Events.Iterator) {
                self.stream = stream
                self.events = events
            }

            public mutating func next() async throws -> String? { try await next(isolation: nil) }

            public mutating func next(isolation actor: isolated (any Actor)?) async throws -> String? {
                while let event = try await events.next(isolation: actor) {
                    text += event.text
                    if event.finish != nil { stream.session.add(stream.prompt, text) }
                    if !event.text.isEmpty { return text }
                }
                return nil
            }
        }
    }

    /// Lets go of the session and stops an answer; later calls are errors.
    public func close() { session.close() }

    private func events(_ prompt: String, _ options: GenerationOptions) -> Events {
        Events(session, .chat) { [messages] in
            try Request(messages: messages { $0 } + [Message(.user, prompt)], options: options).json()
        }
    }

    private func add(_ prompt: String, _ answer: String) {
        messages { $0 += [Message(.user, prompt), Message(.assistant, answer)] }
    }
}

/// A chat request, as `elver_session_chat` takes it.
private struct Request: Encodable {
    let messages: [LanguageSession.Message]
    let options: GenerationOptions

    enum CodingKeys: CodingKey { case messages }

    func encode(to encoder: any Encoder) throws {
        try options.encode(to: encoder)
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(messages, forKey: .messages)
    }

    func json() throws -> String {
        let encoder = JSONEncoder()
        // The library says of such a word that it is no number.
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "infinity", negativeInfinity: "-infinity", nan: "not a number")
        return String(decoding: try encoder.encode(self), as: UTF8.self)
    }
}
