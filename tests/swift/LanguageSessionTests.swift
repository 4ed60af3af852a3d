import Foundation
import Testing

@testable import Elver

extension ElverTests {
    private func conversation(_ instructions: String? = nil) async throws -> LanguageSession {
        try LanguageSession(
            model: try await sharedModel(), instructions: instructions,
            options: SessionOptions(contextLength: 2048))
    }

    @Test func streamedTextIsTheTextSoFar() async throws {
        let whole = try await conversation().respond(to: skyQuestion, options: greedy)
        #expect(whole.finish == .length)
        let session = try await conversation()
        var parts: [String] = []
        for try await text in session.streamResponse(to: skyQuestion, options: greedy) { parts.append(text) }
        #expect(parts.last == whole.content)
        #expect(parts.count > 5)
        for (before, after) in zip(parts, parts.dropFirst()) {
            #expect(after.hasPrefix(before) && after != before)
        }
    }

    @Test func aConversationRemembers() async throws {
        let session = try await conversation("You are a helpful assistant.")
        #expect(session.transcript == [.init(.system, "You are a helpful assistant.")])
        let answer = try await session.respond(to: skyQuestion, options: greedy)
        #expect(session.transcript.dropFirst() == [.init(.user, skyQuestion), .init(.assistant, answer.content)])
        let again = try await session.respond(to: "And at night?", options: greedy)
        #expect(session.transcript.count == 5)

        // The same as one request with all that was said.
        let other = try LanguageSession(
            model: try await sharedModel(), transcript: Array(session.transcript.prefix(3)),
            options: SessionOptions(contextLength: 2048))
        #expect(try await other.respond(to: "And at night?", options: greedy) == again)
    }

    @Test func leftAndCancelledAnswersLeaveNoTrace() async throws {
        let session = try await conversation()
        for try await _ in session.streamResponse(to: skyQuestion, options: greedy) { break }
        #expect(!session.isResponding)
        #expect(session.transcript.isEmpty)

        let (begun, begin) = AsyncStream<Void>.makeStream()
        let task = Task {
            for try await _ in session.streamResponse(to: skyQuestion) { begin.yield() }
        }
        for await _ in begun { break }
        #expect(session.isResponding)
        await expectError(.busy) { _ = try await session.respond(to: "Hello") }
        await cancel(task)
        #expect(session.transcript.isEmpty)
        #expect(try await session.respond(to: skyQuestion, options: greedy).content.isEmpty == false)
        #expect(session.transcript.count == 2)
    }

    @Test func wrongOptions() async throws {
        let session = try await conversation()
        let rows: [(GenerationOptions, String)] = [
            (.init(temperature: .nan), "temperature"), (.init(temperature: .infinity), "temperature"),
            (.init(temperature: -1), "temperature"), (.init(topP: 2), "top_p"), (.init(minP: -0.5), "min_p"),
            (.init(topK: -3), "top_k"), (.init(maxTokens: -2), "max_tokens"), (.init(maxTokens: .max), "max_tokens"),
            (.init(stop: [""]), "stop"), (.init(repetitionPenalty: 0), "repetition_penalty"),
        ]
        for (options, name) in rows {
            await expectError(.invalidArgument, naming: name) { _ = try await session.respond(to: "a", options: options) }
        }
        await expectError(.contextFull) { _ = try await session.respond(to: longPrompt) }
        #expect(session.transcript.isEmpty)
        #expect(!session.isResponding)
    }

    @Test func textOfAnyKindPasses() async throws {
        let session = try await conversation()
        let odd = "\0 \u{1F468}\u{200D}\u{1F469} \" \\ / \u{2028} \u{FFFD}"
        _ = try await session.respond(to: odd, options: GenerationOptions(temperature: 0, maxTokens: 1))
        #expect(session.transcript.first?.content == odd)
        _ = try await session.respond(to: "", options: GenerationOptions(temperature: 0, maxTokens: 1))
    }

    @Test func aClosedConversationIsAnError() async throws {
        let session = try await conversation()
        session.close()
        await expectError(.invalidArgument, naming: "session is closed") { _ = try await session.respond(to: "a") }
        await expectError(.invalidArgument, naming: "session is closed") {
            for try await _ in session.streamResponse(to: "a") {}
        }
    }

    @Test func errorCodesAreTheABIs() {
        #expect(ElverError.Code.allCases.map(\.rawValue) == Array(1...12))
    }
}
