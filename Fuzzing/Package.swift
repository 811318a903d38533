// swift-tools-version: 6.2
import PackageDescription

// Scripts/fuzz builds and runs this package. It adds the address sanitizer, the coverage that guides libFuzzer, and
// libFuzzer itself.
let package = Package(
    name: "token-broker-fuzzing",
    platforms: [.macOS(.v15)],
    dependencies: [
        .package(name: "token-broker", path: "..", traits: ["ConfigurationSupport", "JWTSupport", "RedisSupport"]),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.1.0"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0", traits: []),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
    ],
    targets: [
        .target(name: "CFuzzer"),
        .executableTarget(
            name: "fuzz",
            dependencies: [
                "CFuzzer",
                .product(name: "TokenBroker", package: "token-broker"),
                .product(name: "TokenBrokerComposer", package: "token-broker"),
                .product(name: "TokenBrokerJWT", package: "token-broker"),
                .product(name: "TokenBrokerRedis", package: "token-broker"),
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
            ]
        ),
    ],
    swiftLanguageModes: [.v6]
)
