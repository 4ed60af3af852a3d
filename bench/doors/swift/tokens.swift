// tokens MODEL: for each line read, an answer of 128 tokens through the Swift package; prints the microseconds a token took.
import Elver
import Foundation

@main struct Tokens {
    static let request = #"{"prompt": "Once upon a time", "temperature": 0, "max_tokens": 128, "ignore_eos": true}"#

    static func main() async throws {
        let model = try await Model(contentsOf: URL(fileURLWithPath: CommandLine.arguments[1]))
        let session = try Session(model: model)
        while readLine() != nil {
            let line = String(format: "%.2f\n", try await answer(session))
            FileHandle.standardOutput.write(Data(line.utf8))
        }
    }

    /// The time from the first token to the end.
    static func answer(_ session: Session) async throws -> Double {
        let clock = ContinuousClock()
        var begun: ContinuousClock.Instant?
        for try await _ in session.complete(request) {
            if begun == nil { begun = clock.now }
        }
        guard let begun else { return .infinity }
        return (clock.now - begun) / .microseconds(1) / 127
    }
}
