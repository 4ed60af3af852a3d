import Foundation
import Testing

@testable import Elver

/// One suite, one test at a time: the machine has few cores, and some tests measure time.
@Suite(.serialized, .timeLimit(.minutes(2))) struct ElverTests {}

/// The GGUF file of SmolLM2-135M-Instruct.
func modelURL() throws -> URL {
    URL(fileURLWithPath: try #require(ProcessInfo.processInfo.environment["ELVER_TEST_MODEL"]))
}

/// Loaded once for all tests.
private let loading = Task { try await Model(contentsOf: modelURL()) }
func sharedModel() async throws -> Model { try await loading.value }

func session(contextLength: Int = 512) async throws -> Session {
    try Session(model: try await sharedModel(), options: SessionOptions(contextLength: contextLength))
}

/// The error that the body must throw, with this code and a message that names all of `words`.
func expectError(
    _ code: ElverError.Code, naming words: String..., sourceLocation: SourceLocation = #_sourceLocation,
    _ body: () async throws -> Void
) async {
    let error = await #expect(throws: ElverError.self, sourceLocation: sourceLocation) { try await body() }
    guard let error else { return }
    #expect(error.code == code, "\(error.message)", sourceLocation: sourceLocation)
    for word in words { #expect(error.message.contains(word), sourceLocation: sourceLocation) }
}

func elapsed(_ body: () async throws -> Void) async rethrows -> Duration {
    let clock = ContinuousClock()
    let start = clock.now
    try await body()
    return clock.now - start
}

let skyQuestion = "Why is the sky blue?"
let greedy = GenerationOptions(temperature: 0, maxTokens: 12)
let longPrompt = String(repeating: "The quick brown fox jumps over the lazy dog. ", count: 300)
