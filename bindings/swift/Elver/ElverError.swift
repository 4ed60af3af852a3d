import CElver
import Foundation

/// What went wrong, as the C ABI says it: the code to act on, a message for people, and the file, tensor, key or field
/// that it speaks of ("" if none). Calls of this package throw this, or `CancellationError` when their task was cancelled.
public struct ElverError: Error, Hashable, Sendable {
    /// The numbers of `elver_status`.
    public enum Code: UInt32, Sendable, CaseIterable {
        case invalidArgument = 1
        case notFound = 2
        case io = 3
        case badFile = 4
        case unsupported = 5
        case overBudget = 6
        case outOfMemory = 7
        case cancelled = 8
        case contextFull = 9
        case mismatch = 10
        case busy = 11
        case `internal` = 12
    }

    public let code: Code
    public let message: String
    public let object: String

    public init(_ code: Code, _ message: String, object: String = "") {
        self.code = code
        self.message = message
        self.object = object
    }

    static func closed(_ what: String) -> ElverError {
        ElverError(.invalidArgument, "the \(what) is closed", object: what)
    }
}

extension ElverError: CustomStringConvertible, LocalizedError {
    public var description: String { message }
    public var errorDescription: String? { message }
}

/// Runs a C call whose last argument takes an error, and throws what it says.
func check(_ call: (UnsafeMutablePointer<OpaquePointer?>) -> elver_status) throws(ElverError) {
    var raw: OpaquePointer?
    let status = call(&raw)
    guard status != ELVER_OK else { return }
    defer { elver_error_release(raw) }
    // A status without an error object: there was no memory for one. A status unknown here is of a newer library.
    let message = raw == nil ? "out of memory" : String(cString: elver_error_message(raw))
    throw ElverError(
        ElverError.Code(rawValue: UInt32(status.rawValue)) ?? .internal, message,
        object: String(cString: elver_error_object(raw)))
}

/// Swift's counts are wider than the C ABI's.
func int32(_ value: Int, _ name: String) throws(ElverError) -> Int32 {
    guard let narrow = Int32(exactly: value) else {
        throw ElverError(
            .invalidArgument, "\(name): expected \(Int32.min) to \(Int32.max), found \(value)", object: name)
    }
    return narrow
}

/// The bytes of a text of the library, which this releases.
func take(_ text: OpaquePointer?) -> String {
    defer { elver_text_release(text) }
    return string(elver_text_data(text), elver_text_size(text))
}

func array(_ data: UnsafePointer<CChar>?, _ count: Int) -> [UInt8] {
    Array(UnsafeRawBufferPointer(start: data, count: count))
}

func string(_ data: UnsafePointer<CChar>?, _ count: Int) -> String {
    String(decoding: UnsafeRawBufferPointer(start: data, count: count), as: UTF8.self)
}
