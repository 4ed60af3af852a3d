import Foundation
import Testing

@testable import Elver

extension ElverTests {
    @Test func logitsAreTheSameAfterRewind() async throws {
        let session = try await session()
        let ids = try await sharedModel().tokenizer.encode("The capital of France is")
        #expect(try await session.logits.isEmpty)
        try await session.prefill(ids)
        let first = try await session.logits
        #expect(first.count == 49152)
        try await session.rewind(to: 1)
        #expect(try await session.position == 1)
        try await session.prefill(Array(ids[1...]))
        #expect(try await session.logits == first)
    }

    @Test func anAnswerIsAStreamOfTokens() async throws {
        let session = try await session()
        var text = "", ids: [Int32] = [], finish: Event.Finish?
        let request = #"{"prompt": "The capital of France is", "temperature": 0, "max_tokens": 5, "top_logprobs": 3}"#
        for try await event in session.complete(request) {
            text += event.text
            if let id = event.id {
                ids.append(id)
                #expect(event.alternatives.count == 3)
                #expect(event.alternatives.first?.id == id)
                #expect(event.logprob == event.alternatives.first?.logprob)
                #expect(event.bytes == event.alternatives.first?.bytes)
                #expect(String(decoding: event.bytes, as: UTF8.self) == event.text)
            }
            #expect(finish == nil)
            finish = event.finish
        }
        #expect(finish == .length)
        #expect(ids.count == 5)
        #expect(text == (try await sharedModel().tokenizer.decode(ids)))
        #expect(text.hasPrefix(" Paris"))
    }

    @Test func wrongRequests() async throws {
        let session = try await session(contextLength: 32)
        let rows: [(String, ElverError.Code, String)] = [
            ("", .invalidArgument, "JSON"),
            ("[]", .invalidArgument, "object"),
            ("{}", .invalidArgument, "messages"),
            (#"{"messages": []}"#, .invalidArgument, "messages"),
            (#"{"messages": [{"role": "user", "content": "a"}], "temprature": 0}"#, .invalidArgument, "temprature"),
            (#"{"messages": [{"role": "user", "content": "a"}], "max_tokens": -2}"#, .invalidArgument, "max_tokens"),
            (#"{"messages": [{"role": "user", "content": "\#(longPrompt)"}]}"#, .contextFull, "32"),
        ]
        for (request, code, name) in rows {
            await expectError(code, naming: name) { for try await _ in session.chat(request) {} }
        }
        await expectError(.invalidArgument, naming: "ids") {
            for try await _ in session.complete(#"{"ids": [1, "two"]}"#) {}
        }
        await expectError(.invalidArgument, naming: "49152") { try await session.prefill([49152]) }
        await expectError(.invalidArgument, naming: "-1") { try await session.prefill([1, -1]) }
        await expectError(.contextFull, naming: "32") { try await session.prefill(Array(repeating: 1, count: 33)) }
        await expectError(.invalidArgument, naming: "5") { try await session.rewind(to: 5) }
        await expectError(.invalidArgument, naming: "-1") { try await session.rewind(to: -1) }
        await expectError(.invalidArgument, naming: "\(Int.max)") { try await session.rewind(to: .max) }
        try await session.prefill([])
        #expect(try await session.position == 0)
    }

    @Test func oneAnswerAtATime() async throws {
        let session = try await session()
        let request = #"{"prompt": "One, two,", "temperature": 0, "max_tokens": 4}"#
        var answer = session.complete(request).makeAsyncIterator()
        _ = try await answer.next()
        await expectError(.busy, naming: "session") { for try await _ in session.complete(request) {} }
        await expectError(.busy, naming: "session") { try await session.prefill([1]) }
        await expectError(.busy, naming: "session") { try await session.rewind(to: 0) }
        var n = 1
        while try await answer.next() != nil { n += 1 }
        #expect(n == 5)
        #expect(try await answer.next() == nil)
        try await session.rewind(to: 0)
    }

    @Test func tasksThatShareASessionTakeTurnsOrAreToldThatItIsBusy() async throws {
        let session = try await session()
        let request = #"{"prompt": "One, two,", "temperature": 0, "max_tokens": 3}"#
        let outcomes = await withTaskGroup(of: String.self) { group in
            for _ in 0..<8 {
                group.addTask {
                    do {
                        var text = ""
                        for try await event in session.complete(request) { text += event.text }
                        return text
                    } catch {
                        return (error as? ElverError)?.code == .busy ? "busy" : "\(error)"
                    }
                }
            }
            return await group.reduce(into: Set<String>()) { $0.insert($1) }
        }
        #expect(outcomes == ["busy", " three, four"] || outcomes == [" three, four"] || outcomes.count == 2)
        #expect(outcomes.subtracting(["busy"]).count == 1)
    }

    @Test func leavingTheLoopEndsTheAnswer() async throws {
        let session = try await session()
        let request = #"{"prompt": "One, two,", "temperature": 0}"#
        for try await _ in session.complete(request) { break }
        let position = try await session.position
        try await Task.sleep(for: .milliseconds(50))
        #expect(try await session.position == position)
        try await session.rewind(to: 0)
    }

    @Test func cancellingTheTaskStopsAPrefillWithin50Milliseconds() async throws {
        let session = try await session(contextLength: 4096)
        let ids = try await sharedModel().tokenizer.encode(longPrompt)
        try await expectSoon {
            try await session.rewind(to: 0)
            let task = Task { try await session.prefill(ids) }
            try await Task.sleep(for: .milliseconds(50))
            return task
        } stop: {
            await cancel($0)
        }
        #expect(try await session.position < ids.count)
        // The cancellation is used up: the session goes on.
        try await session.prefill([1])
    }

    @Test func cancellingTheTaskStopsAnAnswerWithin50Milliseconds() async throws {
        let session = try await session()
        let request = #"{"prompt": "One, two,", "temperature": 0, "ignore_eos": true}"#
        try await expectSoon {
            let (begun, begin) = AsyncStream<Void>.makeStream()
            let task = Task {
                for try await _ in session.complete(request) { begin.yield() }
            }
            for await _ in begun { break }
            return task
        } stop: {
            await cancel($0)
        }
        try await session.rewind(to: 0)
    }

    @Test func aTaskCancelledBeforeItsCallComputesNothing() async throws {
        let session = try await session()
        let task = Task {
            while !Task.isCancelled { await Task.yield() }
            try await session.prefill([1, 2, 3])
        }
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        #expect(try await session.position == 0)
    }

    /// A cancellation that comes as its call ends must not stop the next one.
    @Test func aLateCancellationStopsNothingElse() async throws {
        let session = try await session(contextLength: 64)
        for i in 0..<60 {
            let task = Task { try await session.prefill([1]) }
            try await Task.sleep(for: .microseconds(i * 200))
            task.cancel()
            _ = await task.result
            try await session.prefill([2])
            try await session.rewind(to: 0)
        }
    }

    /// Of an answer, too: its task is cancelled while it is pulled, between two pulls, or after its end.
    @Test func aLateCancellationStopsNoLaterAnswer() async throws {
        let session = try await session(contextLength: 64)
        let request = #"{"prompt": "One, two,", "temperature": 0, "max_tokens": 3}"#
        let alone = try await text(of: session.complete(request))
        for i in 0..<20 {
            let task = Task { try await text(of: session.complete(request)) }
            try await Task.sleep(for: .milliseconds(i * 4))
            task.cancel()
            if case .success(let answer) = await task.result { #expect(answer == alone) }
            #expect(try await text(of: session.complete(request)) == alone)
        }
    }

    @Test func cancelStopsWhatIsUnderWayAndNothingLater() async throws {
        let session = try await session()
        let request = #"{"prompt": "One, two,", "temperature": 0, "max_tokens": 3}"#
        let alone = try await text(of: session.complete(request))
        session.cancel()
        try await session.prefill([1, 2, 3])
        try await session.rewind(to: 0)
        session.cancel()
        #expect(try await text(of: session.complete(request)) == alone)

        var answer = session.complete(request).makeAsyncIterator()
        _ = try await answer.next()
        session.cancel()
        await expectError(.cancelled) { _ = try await answer.next() }
        #expect(try await answer.next() == nil)
        try await session.prefill([1])

        let ids = try await sharedModel().tokenizer.encode(longPrompt)
        let other = try await session.fork()
        let long = try Session(model: await sharedModel(), options: SessionOptions(contextLength: 4096))
        let task = Task { try await long.prefill(ids) }
        try await Task.sleep(for: .milliseconds(100))
        other.cancel()
        long.cancel()
        await expectError(.cancelled) { try await task.value }
        #expect(try await long.position < ids.count)
    }

    /// Each call of a session has its own cancellation: that of a task which is refused leaves the other's answer alone.
    @Test func whoIsRefusedStopsNothing() async throws {
        let session = try await session()
        let request = #"{"prompt": "One, two,", "temperature": 0, "max_tokens": 8}"#
        let alone = try await text(of: session.complete(request))
        var answer = session.complete(request).makeAsyncIterator(), answered = ""
        while let event = try await answer.next() {
            answered += event.text
            guard event.finish == nil else { break }
            let refused = Task { for try await _ in session.complete(request) {} }
            refused.cancel()
            await #expect(throws: (any Error).self) { try await refused.value }
            await expectError(.busy) { try await session.prefill([1]) }
        }
        #expect(answered == alone)
    }

    @Test func aForkIsCancelledByItself() async throws {
        let ids = try await sharedModel().tokenizer.encode(longPrompt)
        try await expectSoon {
            let fork = try await session(contextLength: 4096).fork()
            let task = Task { try await fork.prefill(ids) }
            try await Task.sleep(for: .milliseconds(50))
            return task
        } stop: {
            await cancel($0)
        }
    }

    @Test func aClosedSessionIsAnError() async throws {
        let session = try await session(contextLength: 16)
        session.close()
        session.close()
        await expectError(.invalidArgument, naming: "session is closed") { try await session.prefill([1]) }
        await expectError(.invalidArgument, naming: "session is closed") { try await session.rewind(to: 0) }
        await expectError(.invalidArgument, naming: "session is closed") { _ = try await session.logits }
        await expectError(.invalidArgument, naming: "session is closed") { _ = try await session.position }
        await expectError(.invalidArgument, naming: "session is closed") { _ = try session.contextLength }
        await expectError(.invalidArgument, naming: "session is closed") { for try await _ in session.chat("{}") {} }
        await expectError(.invalidArgument, naming: "session is closed") {
            for try await _ in session.complete("{}") {}
        }
    }

    @Test func closingStopsWhatRuns() async throws {
        let ids = try await sharedModel().tokenizer.encode(longPrompt)
        var open: Session?
        try await expectSoon {
            let session = try await session(contextLength: 4096)
            open = session
            let task = Task { try await session.prefill(ids) }
            try await Task.sleep(for: .milliseconds(50))
            return task
        } stop: { task in
            open?.close()
            await expectError(.cancelled) { try await task.value }
        }
    }
}
