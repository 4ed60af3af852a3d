// What a view sees of a conversation: the question at once, an answer that grows, and how it ends.
import Elver
import Foundation
import Testing

@testable import ChatView

@MainActor struct ChatTests {
    func chat() async throws -> Chat {
        let path = try #require(ProcessInfo.processInfo.environment["ELVER_TEST_MODEL"])
        let model = try await Model(contentsOf: URL(fileURLWithPath: path))
        return Chat(session: try LanguageSession(model: model, options: SessionOptions(contextLength: 512)))
    }

    @Test func answers() async throws {
        let chat = try await chat()
        chat.ask("What is 2+2?", options: GenerationOptions(temperature: 0))
        #expect(chat.isAnswering)
        #expect(chat.messages.map(\.content) == ["What is 2+2?"])
        await chat.finished()
        #expect(!chat.isAnswering)
        #expect(chat.messages.last?.content == "The answer to this classic math problem is 4.")
        #expect(chat.answer == "")
    }

    @Test func stops() async throws {
        let chat = try await chat()
        chat.ask("Tell me a very long story.")
        while chat.answer.isEmpty { await Task.yield() }
        chat.stop()
        await chat.finished()
        #expect(chat.messages.last?.content.hasSuffix(" [stopped]") == true)
        #expect(chat.failure == nil)
    }

    @Test func says_what_failed() async throws {
        let chat = try await chat()
        chat.ask(String(repeating: "word ", count: 1000))
        await chat.finished()
        #expect(chat.failure?.contains("512") == true)
        #expect(!chat.isAnswering)
    }
}
