// swift-tools-version: 6.0
// The Swift package: Elver over the C ABI of include/elver/elver.h. The library comes from an installed elver that
// pkg-config finds, or from the XCFramework that cmake/xcframework.sh leaves in build/ (Apple platforms).
import Foundation
import PackageDescription

let framework = "build/CElver.xcframework"
let isFrameworkBuilt = FileManager.default.fileExists(atPath: Context.packageDirectory + "/" + framework)

let package = Package(
    name: "elver",
    platforms: [.macOS(.v14), .iOS(.v17)],
    products: [.library(name: "Elver", targets: ["Elver"])],
    targets: [
        isFrameworkBuilt
            ? .binaryTarget(name: "CElver", path: framework)
            : .systemLibrary(name: "CElver", path: "bindings/swift/CElver", pkgConfig: "elver"),
        .target(name: "Elver", dependencies: ["CElver"], path: "bindings/swift/Elver"),
        .testTarget(
            name: "ElverTests", dependencies: ["Elver"], path: "tests/swift",
            exclude: ["CMakeLists.txt", "swift_test.sh"]),
    ]
)
