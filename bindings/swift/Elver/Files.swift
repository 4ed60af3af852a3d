import CElver
import Foundation

/// The release of the library, as "0.1.0".
public let libraryVersion = String(cString: elver_version())

/// The processor, its usable cores and the instruction sets that elver may use here: a JSON object.
public func describeMachine() throws -> String {
    var text: OpaquePointer?
    try check { elver_machine_describe(&text, $0) }
    return take(text)
}

/// Renders the source of a chat template; variables: a JSON object.
public func renderTemplate(_ source: String, variables: String) throws -> String {
    var text: OpaquePointer?
    try check { error in
        elver_tokenizer_render(nil, source, source.utf8.count, variables, variables.utf8.count, &text, error)
    }
    return take(text)
}

/// Writes a GGUF model with its matrices in another element type, as "Q4_K", least in squared error. The file appears
/// whole or not at all.
public func quantize(
    _ source: URL, to url: URL, type: String, threads: Int = 0, progress: OnProgress? = nil
) async throws {
    let threads = try int32(threads, "n_threads")
    try await reporting(progress) { call, context in
        try withSource(source) { source in
            try withSink(url) { sink in
                try type.withCString { name in
                    var options = celver_quantize_options()
                    options.type = name
                    options.type_size = type.utf8.count
                    options.n_threads = threads
                    options.progress = call
                    options.context = context
                    try check { elver_model_quantize(&source, &sink, &options, $0) }
                }
            }
        }
    }
}

/// Writes a model of well-known dimensions with random weights, as "llama-1b:q4_0", for measuring speed; 0 layers: all of
/// them, or as many as take two fifths of this machine's memory.
public func writeSynthetic(
    _ name: String, to url: URL, layers: Int = 0, progress: OnProgress? = nil
) async throws {
    let layers = try int32(layers, "n_layers")
    try await reporting(progress) { call, context in
        try withSink(url) { sink in
            try name.withCString { bytes in
                var options = celver_synth_options()
                options.name = bytes
                options.name_size = name.utf8.count
                options.n_layers = layers
                options.progress = call
                options.context = context
                try check { elver_model_synth(&sink, &options, $0) }
            }
        }
    }
}
