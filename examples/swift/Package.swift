// swift-tools-version: 6.0
// The examples in Swift, as a package of their own: swift run --package-path examples/swift chat MODEL QUESTION
import PackageDescription

let package = Package(
    name: "examples",
    platforms: [.macOS(.v14), .iOS(.v17)],
    dependencies: [.package(name: "elver", path: "../..")],
    targets: [
        .executableTarget(
            name: "chat", dependencies: [.product(name: "Elver", package: "elver")], path: ".",
            exclude: ["ChatView.swift", "ChatTests.swift"]),
        .target(
            name: "ChatView", dependencies: [.product(name: "Elver", package: "elver")], path: ".",
            exclude: ["chat.swift", "ChatTests.swift"]),
        .testTarget(name: "ChatTests", dependencies: ["ChatView"], path: ".", exclude: ["chat.swift", "ChatView.swift"]),
    ]
)
