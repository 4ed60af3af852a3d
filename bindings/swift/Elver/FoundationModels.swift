// Apple's FoundationModels beside elver: an app may hand a conversation and its options from one to the other.
#if canImport(FoundationModels)
import FoundationModels

@available(macOS 26, iOS 26, visionOS 26, *)
extension LanguageSession {
    /// Goes on with a conversation that Apple's model began. Calls of tools and structured parts are left out.
    public convenience init(
        model: Model, transcript: Transcript, options: SessionOptions = SessionOptions()
    ) throws {
        try self.init(model: model, transcript: transcript.compactMap(Message.init), options: options)
    }

    public func respond(
        to prompt: String, options: FoundationModels.GenerationOptions
    ) async throws -> Response {
        try await respond(to: prompt, options: GenerationOptions(options))
    }

    public func streamResponse(
        to prompt: String, options: FoundationModels.GenerationOptions
    ) -> ResponseStream {
        streamResponse(to: prompt, options: GenerationOptions(options))
    }
}

@available(macOS 26, iOS 26, visionOS 26, *)
extension LanguageSession.Message {
    init?(_ entry: Transcript.Entry) {
        switch entry {
        case .instructions(let instructions): self.init(.system, Self.text(instructions.segments))
        case .prompt(let prompt): self.init(.user, Self.text(prompt.segments))
        case .response(let response): self.init(.assistant, Self.text(response.segments))
        default: return nil
        }
    }

    private static func text(_ segments: [Transcript.Segment]) -> String {
        segments.compactMap { segment in
            if case .text(let text) = segment { text.content } else { nil }
        }.joined()
    }
}

@available(macOS 26, iOS 26, visionOS 26, *)
extension GenerationOptions {
    /// The temperature, the most tokens and greedy sampling; other ways of sampling cannot be read from Apple's options.
    public init(_ options: FoundationModels.GenerationOptions) {
        self.init(
            temperature: options.sampling == .greedy ? 0 : options.temperature,
            maxTokens: options.maximumResponseTokens)
    }
}
#endif
