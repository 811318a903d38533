// swift-tools-version: 6.2
import PackageDescription

// Everything beyond the core is a trait, so that an adopter fetches and builds only what is used.
var traits: Set<Trait> = [
    .trait(name: "ConfigurationSupport", description: "The composer: build a Broker from a YAML or JSON file."),
    .trait(name: "CurlSupport", description: "The transport on libcurl, whose headers have to be installed."),
    .trait(name: "AsyncHTTPClientSupport", description: "The transport on AsyncHTTPClient."),
    .trait(
        name: "HummingbirdSupport", description: "The route adapter for Hummingbird 2.",
        enabledTraits: ["ServiceLifecycleSupport"]
    ),
    .trait(
        name: "JWTSupport",
        description: "The authenticator jwt, private_key_jwt, and the sandbox, which issues tokens."
    ),
    .trait(
        name: "CryptoSupport",
        description: "HMAC-SHA256 for the names of principals in the log, and the sealing of a fleet."),
    .trait(name: "CommandSupport", description: "Credentials from what a program prints."),
    .trait(name: "NIOSupport", description: "The route adapter for SwiftNIO pipelines, HTTP/1.1 and HTTP/2."),
    .trait(name: "RedisSupport", description: "The store that the processes of a fleet share, on Redis."),
    .trait(name: "FlyingFoxSupport", description: "The route adapter for FlyingFox."),
    .trait(name: "ServiceLifecycleSupport", description: "Conformances to ServiceLifecycle's Service."),
    .trait(
        name: "CommandLineSupport",
        description: "The token-broker program, with everything it needs.",
        enabledTraits: [
            "CommandSupport", "ConfigurationSupport", "CryptoSupport", "CurlSupport", "JWTSupport", "NIOSupport",
            "RedisSupport", "ServiceLifecycleSupport",
        ]
    ),
]
// None is on by default. These variables turn all on, for the Swift Package Index and Scripts/check-api, which cannot
// pass trait options.
let enablesAllTraits = ["SPI_GENERATE_DOCS", "TOKEN_BROKER_ENABLE_ALL_TRAITS"].contains {
    Context.environment[$0] != nil
}
traits.insert(.default(enabledTraits: enablesAllTraits ? Set(traits.map(\.name)) : []))

extension Target.Dependency {
    static let httpTypes = product(name: "HTTPTypes", package: "swift-http-types")
    static let logging = product(name: "Logging", package: "swift-log")
    static let metrics = product(name: "Metrics", package: "swift-metrics")
    static let coreMetrics = product(name: "CoreMetrics", package: "swift-metrics")
    static let tracing = product(name: "Tracing", package: "swift-distributed-tracing")
    static let inMemoryLogging = product(name: "InMemoryLogging", package: "swift-log")
    static func gated(_ name: String, _ package: String, by trait: String) -> Self {
        .product(name: name, package: package, condition: .when(traits: [trait]))
    }
    /// For an adapter that registers plug-ins.
    static let composer = target(name: "TokenBrokerComposer", condition: .when(traits: ["ConfigurationSupport"]))
}

let package = Package(
    name: "token-broker",
    platforms: [.macOS(.v15)],
    products: [
        .library(name: "TokenBroker", targets: ["TokenBroker"]),
        .library(name: "CurlTransport", targets: ["CurlTransport"]),
        .library(name: "TokenBrokerComposer", targets: ["TokenBrokerComposer"]),
        .library(name: "TokenBrokerCrypto", targets: ["TokenBrokerCrypto"]),
        .library(name: "TokenBrokerAsyncHTTPClient", targets: ["TokenBrokerAsyncHTTPClient"]),
        .library(name: "TokenBrokerHummingbird", targets: ["TokenBrokerHummingbird"]),
        .library(name: "TokenBrokerJWT", targets: ["TokenBrokerJWT"]),
        .library(name: "TokenBrokerNIO", targets: ["TokenBrokerNIO"]),
        .library(name: "TokenBrokerFlyingFox", targets: ["TokenBrokerFlyingFox"]),
        .library(name: "TokenBrokerRedis", targets: ["TokenBrokerRedis"]),
        .library(name: "TokenBrokerSubprocess", targets: ["TokenBrokerSubprocess"]),
        .library(name: "TokenBrokerSandbox", targets: ["TokenBrokerSandbox"]),
        .library(name: "TokenBrokerPrometheus", targets: ["TokenBrokerPrometheus"]),
        .library(name: "TokenBrokerTesting", targets: ["TokenBrokerTesting"]),
        .executable(name: "token-broker", targets: ["token-broker"]),
    ],
    traits: traits,
    dependencies: [
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0", traits: []),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
        .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.3.0"),
        .package(url: "https://github.com/apple/swift-distributed-tracing", from: "1.7.0"),
        .package(url: "https://github.com/apple/swift-configuration", from: "1.4.0", traits: []),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.0"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.0", traits: []),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
        .package(url: "https://github.com/apple/swift-nio-http2", from: "1.46.0"),
        .package(url: "https://github.com/apple/swift-nio-extras", from: "1.35.0"),
        .package(url: "https://github.com/swhitty/FlyingFox", from: "0.27.0"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.0"),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0", traits: []),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/vapor/jwt-kit", from: "5.7.0"),
        .package(url: "https://github.com/swiftlang/swift-subprocess", from: "1.0.0", traits: []),
        .package(url: "https://github.com/apple/swift-system", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.1.0"),
    ],
    targets: [
        .target(
            name: "TokenBroker",
            dependencies: [
                .httpTypes, .logging, .metrics, .tracing,
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "HeapModule", package: "swift-collections"),
            ],
            resources: [.embedInCode("Endpoints/openapi.json")]
        ),
        .systemLibrary(
            name: "CLibcurl", path: "Adapters/Curl/CLibcurl", pkgConfig: "libcurl",
            providers: [.apt(["libcurl4-openssl-dev"])]
        ),
        .target(
            name: "CurlTransport",
            dependencies: [
                "TokenBroker", .composer, .target(name: "CLibcurl", condition: .when(traits: ["CurlSupport"])),
                .httpTypes, .logging,
            ],
            path: "Adapters/Curl/Sources"
        ),
        .target(
            name: "TokenBrokerComposer",
            dependencies: [
                "TokenBroker", .httpTypes, .logging,
                .gated("Configuration", "swift-configuration", by: "ConfigurationSupport"),
                .gated("Yams", "Yams", by: "ConfigurationSupport"),
                .gated("ServiceLifecycle", "swift-service-lifecycle", by: "ServiceLifecycleSupport"),
            ]
        ),
        .target(
            name: "TokenBrokerCrypto",
            dependencies: ["TokenBroker", .gated("Crypto", "swift-crypto", by: "CryptoSupport")],
            path: "Adapters/Crypto/Sources"
        ),
        .target(
            name: "TokenBrokerJWT",
            dependencies: [
                "TokenBroker", .composer, .httpTypes, .logging, .gated("JWTKit", "jwt-kit", by: "JWTSupport"),
            ],
            path: "Adapters/JWTKit/Sources"
        ),
        .target(
            name: "TokenBrokerSandbox",
            dependencies: ["TokenBroker", .httpTypes, .gated("JWTKit", "jwt-kit", by: "JWTSupport")]
        ),
        .target(name: "TokenBrokerTesting", dependencies: ["TokenBroker", .httpTypes]),
        .target(name: "TokenBrokerPrometheus", dependencies: ["TokenBroker", .httpTypes, .coreMetrics]),
        .target(
            name: "TokenBrokerSubprocess",
            dependencies: [
                "TokenBroker", .composer, .logging,
                .gated("Subprocess", "swift-subprocess", by: "CommandSupport"),
                .gated("SystemPackage", "swift-system", by: "CommandSupport"),
            ],
            path: "Adapters/Subprocess/Sources"
        ),
        .target(
            name: "TokenBrokerAsyncHTTPClient",
            dependencies: [
                "TokenBroker", .composer, .httpTypes,
                .gated("AsyncHTTPClient", "async-http-client", by: "AsyncHTTPClientSupport"),
                .gated("NIOCore", "swift-nio", by: "AsyncHTTPClientSupport"),
                .gated("NIOPosix", "swift-nio", by: "AsyncHTTPClientSupport"),
                .gated("NIOHTTP1", "swift-nio", by: "AsyncHTTPClientSupport"),
                .gated("NIOSSL", "swift-nio-ssl", by: "AsyncHTTPClientSupport"),
            ],
            path: "Adapters/AsyncHTTPClient/Sources"
        ),
        .target(
            name: "TokenBrokerHummingbird",
            dependencies: [
                "TokenBroker", .httpTypes, .logging,
                .gated("Hummingbird", "hummingbird", by: "HummingbirdSupport"),
                .gated("NIOCore", "swift-nio", by: "HummingbirdSupport"),
                .gated("NIOHTTPTypes", "swift-nio-extras", by: "HummingbirdSupport"),
                .gated("ServiceLifecycle", "swift-service-lifecycle", by: "HummingbirdSupport"),
            ],
            path: "Adapters/Hummingbird/Sources"
        ),
        .target(
            name: "TokenBrokerNIO",
            dependencies: [
                "TokenBroker", .httpTypes, .logging, .metrics,
                .gated("NIOCore", "swift-nio", by: "NIOSupport"),
                .gated("NIOHTTP1", "swift-nio", by: "NIOSupport"),
                .gated("NIOPosix", "swift-nio", by: "NIOSupport"),
            ],
            path: "Adapters/NIO/Sources"
        ),
        .target(
            name: "TokenBrokerRedis",
            dependencies: [
                "TokenBroker", .composer, .logging, .metrics,
                .gated("Crypto", "swift-crypto", by: "RedisSupport"),
                .gated("NIOCore", "swift-nio", by: "RedisSupport"),
                .gated("NIOPosix", "swift-nio", by: "RedisSupport"),
                .gated("NIOSSL", "swift-nio-ssl", by: "RedisSupport"),
            ],
            path: "Adapters/Redis/Sources"
        ),
        .target(
            name: "TokenBrokerFlyingFox",
            dependencies: [
                "TokenBroker", .httpTypes,
                .gated("FlyingFox", "FlyingFox", by: "FlyingFoxSupport"),
                .gated("FlyingSocks", "FlyingFox", by: "FlyingFoxSupport"),
            ],
            path: "Adapters/FlyingFox/Sources"
        ),
        .executableTarget(
            name: "token-broker",
            dependencies: [
                "TokenBroker", "CurlTransport", "TokenBrokerAsyncHTTPClient", "TokenBrokerComposer",
                "TokenBrokerCrypto", "TokenBrokerJWT", "TokenBrokerNIO", "TokenBrokerPrometheus", "TokenBrokerRedis",
                "TokenBrokerSandbox", "TokenBrokerSubprocess",
                .httpTypes, .logging, .metrics,
                .gated("ArgumentParser", "swift-argument-parser", by: "CommandLineSupport"),
                .gated("NIOCore", "swift-nio", by: "CommandLineSupport"),
                .gated("ServiceLifecycle", "swift-service-lifecycle", by: "CommandLineSupport"),
                .gated("UnixSignals", "swift-service-lifecycle", by: "CommandLineSupport"),
            ],
            // A link to Samples/Storefront, which `demo` serves from within the program.
            exclude: ["Storefront/README.md", "Storefront/config.json"],
            resources: [
                "index.html", "app.js", "checkout-token.js", "alternative-client.js", "style.css", "icon.svg",
            ].map { .embedInCode("Storefront/\($0)") }
        ),
        // Raw sockets and certificates for the test targets; not a product.
        .target(name: "CSlowResolver", path: "Tests/CSlowResolver"),
        .target(name: "CThreadSanitizer", path: "Tests/CThreadSanitizer", exclude: ["suppressions.txt"]),
        .target(name: "CSimulatedScheduler", path: "Tests/CSimulatedScheduler"),
        .target(
            name: "TestSupport",
            dependencies: [
                "TokenBroker", "TokenBrokerTesting", "CSlowResolver", "CThreadSanitizer", "CSimulatedScheduler",
                .httpTypes, .logging,
            ],
            path: "Tests/TestSupport"
        ),
        .testTarget(
            name: "TokenBrokerTests",
            dependencies: [
                "TokenBroker", "TokenBrokerTesting", "TestSupport", .httpTypes, .logging, .inMemoryLogging, .metrics,
                .tracing, .product(name: "MetricsTestKit", package: "swift-metrics"),
                .product(name: "InMemoryTracing", package: "swift-distributed-tracing"),
            ]
        ),
        .testTarget(
            name: "TokenBrokerPrometheusTests",
            dependencies: ["TokenBrokerPrometheus", "TokenBroker", "TestSupport", .httpTypes, .coreMetrics]
        ),
        .testTarget(
            name: "CurlTransportTests",
            dependencies: [
                "CurlTransport", "TokenBroker", "TokenBrokerTesting", "TestSupport", .httpTypes, .logging,
            ],
            path: "Adapters/Curl/Tests"
        ),
        .testTarget(
            name: "TokenBrokerComposerTests",
            dependencies: [
                "TokenBrokerComposer", "TokenBroker", "CurlTransport", "TokenBrokerCrypto", "TokenBrokerJWT",
                "TokenBrokerRedis", "TokenBrokerSubprocess", "TokenBrokerTesting", "TestSupport", .httpTypes, .logging,
                .inMemoryLogging, .metrics, .tracing, .product(name: "MetricsTestKit", package: "swift-metrics"),
                .product(name: "InMemoryTracing", package: "swift-distributed-tracing"),
                .gated("Configuration", "swift-configuration", by: "ConfigurationSupport"),
            ]
        ),
        .testTarget(
            name: "TokenBrokerCryptoTests", dependencies: ["TokenBrokerCrypto", "TokenBroker"],
            path: "Adapters/Crypto/Tests"
        ),
        .testTarget(
            name: "TokenBrokerJWTTests",
            dependencies: [
                "TokenBrokerJWT", "TokenBroker", "TokenBrokerTesting", "TestSupport", .httpTypes, .logging,
                .inMemoryLogging,
                .gated("JWTKit", "jwt-kit", by: "JWTSupport"),
            ],
            path: "Adapters/JWTKit/Tests"
        ),
        .testTarget(
            name: "TokenBrokerSandboxTests",
            dependencies: [
                "TokenBrokerSandbox", "TokenBroker", "TokenBrokerTesting", "TestSupport", .httpTypes, .logging,
            ]
        ),
        .testTarget(
            name: "TokenBrokerTestingTests",
            dependencies: ["TokenBrokerTesting", "TokenBroker", "TokenBrokerSandbox", .httpTypes, .logging]
        ),
        .testTarget(
            name: "TokenBrokerAsyncHTTPClientTests",
            dependencies: [
                "TokenBrokerAsyncHTTPClient", "TokenBroker", "TokenBrokerTesting", "TestSupport", .httpTypes,
            ],
            path: "Adapters/AsyncHTTPClient/Tests"
        ),
        .testTarget(
            name: "TokenBrokerHummingbirdTests",
            dependencies: [
                "TokenBrokerHummingbird", "TokenBroker", "TokenBrokerTesting", "TestSupport", .httpTypes, .logging,
                .gated("Hummingbird", "hummingbird", by: "HummingbirdSupport"),
                .gated("ServiceLifecycle", "swift-service-lifecycle", by: "HummingbirdSupport"),
            ],
            path: "Adapters/Hummingbird/Tests"
        ),
        .testTarget(
            name: "AccessMatrixTests",
            dependencies: [
                "TokenBrokerComposer", "TokenBrokerHummingbird", "TokenBrokerJWT", "TokenBrokerSandbox", "TokenBroker",
                "CurlTransport",
                "TokenBrokerTesting", "TestSupport", .httpTypes, .logging,
                .gated("Hummingbird", "hummingbird", by: "HummingbirdSupport"),
                .gated("JWTKit", "jwt-kit", by: "JWTSupport"),
            ]
        ),
        .testTarget(
            name: "TokenBrokerNIOTests",
            dependencies: [
                "TokenBrokerNIO", "TokenBroker", "TokenBrokerTesting", "TestSupport", .httpTypes, .logging,
                .gated("NIOCore", "swift-nio", by: "NIOSupport"),
                .gated("NIOEmbedded", "swift-nio", by: "NIOSupport"),
                .gated("NIOHTTP1", "swift-nio", by: "NIOSupport"),
                .gated("NIOPosix", "swift-nio", by: "NIOSupport"),
                .gated("NIOHTTP2", "swift-nio-http2", by: "NIOSupport"),
                .gated("NIOExtras", "swift-nio-extras", by: "NIOSupport"),
            ],
            path: "Adapters/NIO/Tests"
        ),
        .testTarget(
            name: "TokenBrokerRedisTests",
            dependencies: [
                "TokenBrokerRedis", "TokenBroker", "TokenBrokerComposer", "TokenBrokerCrypto", "TokenBrokerTesting",
                "TestSupport", .logging, .gated("NIOCore", "swift-nio", by: "RedisSupport"),
                .gated("NIOPosix", "swift-nio", by: "RedisSupport"),
            ],
            path: "Adapters/Redis/Tests"
        ),
        .testTarget(
            name: "TokenBrokerFlyingFoxTests",
            dependencies: [
                "TokenBrokerFlyingFox", "TokenBroker", "TokenBrokerTesting", .httpTypes,
                .gated("FlyingFox", "FlyingFox", by: "FlyingFoxSupport"),
                .gated("FlyingSocks", "FlyingFox", by: "FlyingFoxSupport"),
            ],
            path: "Adapters/FlyingFox/Tests"
        ),
        .testTarget(
            name: "TokenBrokerSubprocessTests",
            dependencies: [
                "TokenBrokerSubprocess", "TokenBroker", "TokenBrokerTesting", "TestSupport", .logging, .inMemoryLogging,
            ],
            path: "Adapters/Subprocess/Tests"
        ),
        .testTarget(
            name: "TokenBrokerProgramTests",
            dependencies: [
                "token-broker", "TokenBroker", "CurlTransport", "TokenBrokerTesting", "TestSupport", .httpTypes,
                .logging,
                .metrics,
                .product(name: "MetricsTestKit", package: "swift-metrics"),
            ]
        ),
        .testTarget(
            name: "StorefrontTests",
            dependencies: [
                "token-broker", "TokenBroker", "CurlTransport", "TokenBrokerTesting", "TestSupport", .httpTypes,
                .logging,
            ],
            exclude: ["JavaScript"]
        ),
    ],
    swiftLanguageModes: [.v6]
)

for target in package.targets where target.type != .system {
    target.swiftSettings = [
        .enableUpcomingFeature("ExistentialAny"),
        .enableUpcomingFeature("MemberImportVisibility"),
        .enableUpcomingFeature("InternalImportsByDefault"),
    ]
    if Context.environment["CI"] != nil { target.swiftSettings?.append(.treatAllWarnings(as: .error)) }
}
