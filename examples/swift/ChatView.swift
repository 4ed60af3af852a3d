// A chat in SwiftUI. `Chat` holds what the view shows and runs anywhere; the view itself needs an Apple platform.
import Elver
import Observation

/// A conversation as a view shows it: what was said, and the answer that is growing.
@MainActor @Observable public final class Chat {
    public private(set) var messages: [LanguageSession.Message] = []
    public private(set) var answer = ""
    public private(set) var failure: String?
    public var isAnswering: Bool { task != nil }

    private let session: LanguageSession
    private var task: Task<Void, Never>?

    public init(session: LanguageSession) { self.session = session }

    /// Asks; the answer grows in `answer` and then joins `messages`.
    public func ask(_ question: String, options: GenerationOptions = GenerationOptions()) {
        guard task == nil else { return }
        failure = nil
        messages.append(.init(.user, question))
        task = Task {
            do {
                for try await text in session.streamResponse(to: question, options: options) { answer = text }
            } catch is CancellationError {
                answer += " [stopped]"
            } catch {
                failure = "\(error)"
            }
            if !answer.isEmpty { messages.append(.init(.assistant, answer)) }
            answer = ""
            task = nil
        }
    }

    public func stop() { task?.cancel() }

    /// Returns when no answer is under way.
    public func finished() async { await task?.value }
}

#if canImport(SwiftUI)
import SwiftUI

public struct ChatView: View {
    @State private var chat: Chat
    @State private var question = ""

    public init(session: LanguageSession) { _chat = State(initialValue: Chat(session: session)) }

    public var body: some View {
        VStack {
            ScrollView {
                LazyVStack(alignment: .leading, spacing: 8) {
                    ForEach(Array(chat.messages.enumerated()), id: \.offset) { _, message in
                        Text(message.content).bold(message.role == .user)
                    }
                    if chat.isAnswering { Text(chat.answer) }
                    if let failure = chat.failure { Text(failure).foregroundStyle(.red) }
                }
                .frame(maxWidth: .infinity, alignment: .leading)
            }
            HStack {
                TextField("Ask", text: $question).onSubmit(ask)
                if chat.isAnswering {
                    Button("Stop", role: .destructive, action: chat.stop)
                } else {
                    Button("Ask", action: ask).disabled(question.isEmpty)
                }
            }
        }
        .padding()
    }

    private func ask() {
        chat.ask(question)
        question = ""
    }
}
#endif
