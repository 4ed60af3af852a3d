// swift-tools-version: 6.0
import PackageDescription

let package = Package(
    name: "doors",
    platforms: [.macOS(.v14)],
    dependencies: [.package(name: "elver", path: "../../..")],
    targets: [
        .executableTarget(name: "tokens", dependencies: [.product(name: "Elver", package: "elver")], path: ".")
    ]
)
