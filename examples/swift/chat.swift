// chat MODEL QUESTION: opens a GGUF file, asks, and prints the answer as it comes. Ctrl-C ends the program.
import Elver
import Foundation

@main struct Chat {
    static func main() async {
        guard CommandLine.arguments.count == 3 else {
            print("usage: chat MODEL QUESTION")
            exit(2)
        }
        do {
            try await answer(CommandLine.arguments[2], of: URL(fileURLWithPath: CommandLine.arguments[1]))
        } catch {
            FileHandle.standardError.write(Data("chat: \(error)\n".utf8))
            exit(1)
        }
    }

    static func answer(_ question: String, of url: URL) async throws {
        let session = try LanguageSession(model: try await Model(contentsOf: url))
        var shown = 0
        for try await text in session.streamResponse(to: question, options: GenerationOptions(temperature: 0)) {
            FileHandle.standardOutput.write(Data(text.utf8.dropFirst(shown)))
            shown = text.utf8.count
        }
        print()
    }
}
