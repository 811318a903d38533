// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "AnyHost",
    platforms: [.macOS(.v15)],
    dependencies: [
        // In your package: url: "https://example.com/token-broker", from: "0.1.0"
        .package(name: "token-broker", path: "../..", traits: ["CurlSupport"]),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0", traits: []),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
    ],
    targets: [
        .executableTarget(
            name: "AnyHost",
            dependencies: [
                .product(name: "CurlTransport", package: "token-broker"),
                .product(name: "TokenBroker", package: "token-broker"),
                .product(name: "TokenBrokerComposer", package: "token-broker"),
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "Logging", package: "swift-log"),
            ]
        )
    ]
)
