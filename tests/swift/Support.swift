import Foundation
import Testing

@testable import Elver

/// One suite, one test at a time: the machine has few cores, and some tests measure time.
@Suite(.serialized, .timeLimit(.minutes(5))) struct ElverTests {}

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

/// Whether `stop` ends what `start` began within 50 milliseconds: in the best of some tries, since a busy machine may let
/// any thread wait longer than that. `stop` returns when it has ended.
func expectSoon(
    sourceLocation: SourceLocation = #_sourceLocation, start: () async throws -> Task<Void, any Error>,
    stop: (Task<Void, any Error>) async throws -> Void
) async throws {
    let clock = ContinuousClock()
    var best = Duration.seconds(3600)
    for _ in 0..<8 where best > .milliseconds(50) {
        let task = try await start()
        let begun = clock.now
        try await stop(task)
        best = min(best, clock.now - begun)
    }
    #expect(best <= .milliseconds(50), sourceLocation: sourceLocation)
}

/// Cancels, and expects that the task says so.
func cancel(_ task: Task<Void, any Error>) async {
    task.cancel()
    await #expect(throws: CancellationError.self) { try await task.value }
}

/// The whole of an answer.
func text(of events: Events) async throws -> String {
    try await events.reduce(into: "") { $0 += $1.text }
}

let skyQuestion = "Why is the sky blue?"
let greedy = GenerationOptions(temperature: 0, maxTokens: 12)
let longPrompt = String(repeating: "The quick brown fox jumps over the lazy dog. ", count: 300)
