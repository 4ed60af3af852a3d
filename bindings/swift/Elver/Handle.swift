import CElver
import Foundation

/// A value behind a lock: the only shared mutable state of the package.
final class Locked<Value>: @unchecked Sendable {
    private var value: Value
    private let lock = NSLock()

    init(_ value: Value) { self.value = value }

    func callAsFunction<R>(_ body: (inout Value) throws -> R) rethrows -> R {
        lock.lock()
        defer { lock.unlock() }
        return try body(&value)
    }
}

/// A handle of the C ABI, released with its last reference. The pointer never changes, and what may be called through it
/// from which thread is for its holder to keep.
final class Owned: @unchecked Sendable {
    let pointer: OpaquePointer
    private let release: @Sendable (OpaquePointer?) -> Void

    init(_ pointer: OpaquePointer, release: @escaping @Sendable (OpaquePointer?) -> Void) {
        self.pointer = pointer
        self.release = release
    }
    deinit { release(pointer) }
}

/// A handle that can be closed: calls which are under way keep it alive, later ones are errors.
final class Handle: Sendable {
    private let name: String
    private let slot: Locked<Owned?>

    /// Takes what `open`, a C call, writes to its out parameter.
    init(
        _ name: String, release: @escaping @Sendable (OpaquePointer?) -> Void,
        open: (UnsafeMutablePointer<OpaquePointer?>, UnsafeMutablePointer<OpaquePointer?>) -> elver_status
    ) throws(ElverError) {
        var out: OpaquePointer?
        try check { open(&out, $0) }
        guard let out else { throw ElverError(.internal, "\(name): opened as nothing", object: name) }
        self.name = name
        slot = Locked(Owned(out, release: release))
    }

    func owned() throws(ElverError) -> Owned {
        guard let owned = slot({ $0 }) else { throw .closed(name) }
        return owned
    }

    func callAsFunction<R>(_ body: (OpaquePointer) throws -> R) throws -> R {
        let owned = try owned()
        return try withExtendedLifetime(owned) { try body(owned.pointer) }
    }

    func close() {
        // Released outside the lock: that may take a while.
        let owned = slot { slot in
            defer { slot = nil }
            return slot
        }
        withExtendedLifetime(owned) {}
    }
}

/// Runs blocking work on a thread of its own, never on one of Swift's few for tasks.
func offTasks<R: Sendable>(_ body: @escaping @Sendable () throws -> R) async throws -> R {
    try await withCheckedThrowingContinuation { continuation in
        DispatchQueue.global().async { continuation.resume(with: Result(catching: body)) }
    }
}

/// An actor's work on a queue of its own: the C calls that compute block their thread.
final class QueueExecutor: SerialExecutor {
    private let queue: DispatchQueue

    init(_ label: String) { queue = DispatchQueue(label: label, qos: .userInitiated) }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        queue.async { job.runSynchronously(on: self.asUnownedSerialExecutor()) }
    }
}
