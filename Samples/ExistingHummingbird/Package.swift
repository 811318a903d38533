// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "ExistingHummingbird",
    platforms: [.macOS(.v15)],
    dependencies: [
        // In your package: url: "https://example.com/token-broker", from: "0.1.0"
        .package(
            name: "token-broker", path: "../..",
            traits: ["ConfigurationSupport", "CurlSupport", "HummingbirdSupport"]
        ),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.0", traits: []),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
    ],
    targets: [
        .executableTarget(
            name: "ExistingHummingbird",
            dependencies: [
                .product(name: "CurlTransport", package: "token-broker"),
                .product(name: "TokenBrokerComposer", package: "token-broker"),
                .product(name: "TokenBrokerHummingbird", package: "token-broker"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "Logging", package: "swift-log"),
            ]
        )
    ]
)
