#if ConfigurationSupport && CryptoSupport && RedisSupport
import Foundation
import Logging
import Testing
import TokenBroker
import TokenBrokerCrypto
import TokenBrokerRedis

@testable import TokenBrokerComposer

@Suite struct `The fleet in a configuration` {
    private let registry: Registry
    private let keyFile: URL
    private let values: [String: String]

    init() throws {
        var registry = Registry.everything
        registry.replace(.redis)
        self.registry = registry
        keyFile = FileManager.default.temporaryDirectory.appending(path: "fleet-key-\(UUID().uuidString)")
        try Data((Data(repeating: 1, count: 32).base64EncodedString() + "\n").utf8).write(to: keyFile)
        values = minimal.with([
            "fleet.store": "redis", "fleet.processes": "4", "fleet.keyFile": keyFile.path,
            "fleet.redis.url": "redis://127.0.0.1:6379",
        ])
    }

    @Test func `a fleet with a store, its number of processes and its keys is accepted`() throws {
        let fleet = try #require(try settings(values, registry: registry).fleet)
        #expect(fleet.processes == 4 && fleet.keyFile == keyFile.path)
        #expect(try settings(minimal, registry: registry).fleet == nil)
    }

    @Test(arguments: [
        ("fleet.processes", "0", "a whole number from 1 to 1000"), ("fleet.store", "memcached", "one of redis"),
        ("fleet.redis.timeout", "0ms", "a duration from 1ms to 10s"), ("fleet.redis.prefix", "a b", "letters, digits"),
        ("fleet.redis.sentinels", "[127.0.0.1:26379]", "either url or sentinels"),
        ("fleet.redis.clientKey", "/x", "expected clientCertificate"),
    ])
    func `a value that cannot be used is refused`(_ key: String, _ value: String, _ expected: String) throws {
        let found = problems(values.with([key: value]), registry: registry)
        #expect(found.contains { $0.message.contains(expected) })
    }

    @Test(arguments: ["fleet.processes", "fleet.keyFile", "fleet.redis.url"])
    func `a key that is missing is named`(_ key: String) {
        var values = values
        values[key] = nil
        #expect(problems(values, registry: registry).map(\.key) == [key])
    }

    @Test func `without its adapter, the store is refused with how to add it`() throws {
        let found = try #require(problems(values, registry: .standard).first { $0.key == "fleet.store" })
        #expect(found.message.contains("`import TokenBrokerRedis` and `try registry.register(.redis)`"))
    }

    @Test(arguments: [
        ("fleet.redis.url", "redis://:sentinel-secret@127.0.0.1", "passwordFile"),
        ("fleet.redis.url", "redis://shop.example", "plaintext: true"),
        ("fleet.keyFile", "/does/not/exist", "it cannot be used"),
    ])
    func `what only building shows is refused without secrets`(
        _ key: String, _ value: String, _ expected: String
    ) async throws {
        let configuration = try BrokerConfiguration(yaml(values.with([key: value])), environment: [:])
        let error = await #expect(throws: ConfigurationError.self) {
            try await Composer(registry: registry).compose(configuration, logger: .init(label: "test"))
        }
        let problem = try #require(error?.problems.first)
        #expect(problem.key == key && problem.message.contains(expected))
        #expect(!problem.message.contains("sentinel-secret"))
    }
}
#endif
