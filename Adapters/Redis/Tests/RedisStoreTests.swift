#if RedisSupport
import Foundation
import Logging
import Synchronization
import TestSupport
import Testing
import TokenBroker
import TokenBrokerTesting

@testable import TokenBrokerRedis

/// Runs the store's scripts on a real server.
private struct RedisFixture: SharedStoreFixture {
    static let capabilities: SharedStoreContract.Capabilities = .loses

    func withStore(_ body: (SharedStoreContract.Subject) async throws -> Void) async throws {
        let server = try RedisServer()
        defer { server.stop() }
        let first = RedisStore(configuration: try settings(server))
        let second = RedisStore(configuration: try settings(server))
        _ = try await first.check()
        _ = try await second.check()
        try await body(.init(first, second) { _ = try server.command("FLUSHALL") })
        await first.shutdown()
        await second.shutdown()
    }
}

private func settings(_ server: RedisServer, timeout: Duration = .seconds(5)) throws -> RedisStore.Configuration {
    var settings = try RedisStore.Configuration(url: "redis://127.0.0.1:\(server.port)")
    settings.timeout = timeout
    return settings
}

/// Records the events of a store.
private final class Events: Sendable {
    private let events = Mutex<[SharedStoreEvent]>([])
    init(_ store: RedisStore) { store.observe { [weak self] event in self?.events.withLock { $0.append(event) } } }
    var all: [SharedStoreEvent] { events.withLock { $0 } }

    func wait(for event: SharedStoreEvent, count: Int = 1) async throws {
        try await poll { all.count { $0 == event } >= count }
    }
}

private func poll(_ condition: () async throws -> Bool) async throws {
    for _ in 0..<1_000 {
        if try await condition() { return }
        try await Task.sleep(for: .milliseconds(20))
    }
    Issue.record("expected within 20 s; it did not happen")
}

private let claim = TokenClaim(owner: "owner", lease: .seconds(3))

@Suite(.tags(.slow)) struct `A store on Redis` {
    @Test(arguments: SharedStoreContract.cases(for: RedisFixture.self))
    func `Redis passes the shared store contract`(_ test: SharedStoreContract.Case) async throws {
        try await test.run(on: RedisFixture())
    }

    private func problem(_ configuration: RedisStore.Configuration) async -> String {
        let store = RedisStore(configuration: configuration)
        let found: String
        do throws(TokenError) {
            found = try await store.check()
        } catch {
            found = error.message
        }
        await store.shutdown()
        return found
    }

    @Test func `a store that is released closes its connections`() async throws {
        let server = try RedisServer()
        defer { server.stop() }
        func clients() throws -> Int { try server.command("CLIENT", "LIST").split(separator: "\n").count }
        let others = try clients()
        var store: RedisStore? = RedisStore(configuration: try settings(server))
        _ = try await store?.check()
        // One for commands, and one for events.
        try await poll { try clients() == others + 2 }
        store = nil
        try await poll { try clients() == others }
    }

    @Test func `the check says the server's version`() async throws {
        let server = try RedisServer()
        defer { server.stop() }
        #expect(await problem(try settings(server)).hasPrefix("connected, version "))
    }

    @Test func `a name and a password are sent, and wrong ones are told apart`() async throws {
        let directory = FileManager.default.temporaryDirectory.appending(path: "redis-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        func password(_ text: String) throws -> SharedSecrets {
            let file = directory.appending(path: text)
            try Data(text.utf8).write(to: file)
            try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: file.path)
            return SharedSecrets(file: file.path, minimumBytes: 1)
        }
        let rights = "~token-broker:1:* &token-broker:1:events +@all -@dangerous +info +role"
        let server = try RedisServer(configuration: [
            "user default off", "user broker on >sentinel-password \(rights)",
            "user reader on >sentinel-password ~* &* +@read +info +role +auth",
        ])
        defer { server.stop() }
        var settings = try settings(server)
        #expect(await problem(settings).contains("NOAUTH"))
        settings.username = "broker"
        settings.password = try password("wrong")
        #expect(await problem(settings).contains("WRONGPASS"))
        settings.password = try password("sentinel-password")
        #expect(await problem(settings).hasPrefix("connected"))
        settings.username = "reader"
        let found = await problem(settings)
        #expect(found.contains("refuses to write") && !found.contains("sentinel-password"))
    }

    @Test func `TLS verifies the server, and presents the client's certificate`() async throws {
        let certificates = try TLSServers()
        defer { certificates.stop() }
        let server = try RedisServer(tls: certificates)
        defer { server.stop() }
        func found(_ tls: RedisStore.Configuration.TLS, host: String = "localhost") async throws -> String {
            var settings = try RedisStore.Configuration(url: "rediss://\(host):\(server.port)", tls: tls)
            settings.timeout = .seconds(5)
            return await problem(settings)
        }
        let client = (certificates.clientCertificateFile, certificates.clientKeyFile)
        #expect(
            try await found(.init(caFile: certificates.caFile, clientCertificate: client.0, clientKey: client.1))
                .hasPrefix("connected"))
        #expect(try await !found(.init(caFile: certificates.caFile)).hasPrefix("connected"))
        #expect(try await found(.init(clientCertificate: client.0, clientKey: client.1)).contains("TLS"))
        // The certificate names only localhost.
        let address = try await found(
            .init(caFile: certificates.caFile, clientCertificate: client.0, clientKey: client.1), host: "127.0.0.1")
        #expect(!address.hasPrefix("connected"))
    }

    @Test func `a replica and a cluster are refused`() async throws {
        let primary = try RedisServer()
        defer { primary.stop() }
        let replica = try RedisServer(configuration: ["replicaof 127.0.0.1 \(primary.port)"])
        defer { replica.stop() }
        #expect(await problem(try settings(replica)).contains("not a primary"))
        let cluster = try RedisServer(configuration: ["cluster-enabled yes"])
        defer { cluster.stop() }
        #expect(await problem(try settings(cluster)).contains("Redis Cluster"))
    }

    @Test func `a server that is no Redis, or does not answer, is told apart`() async throws {
        let other = try RawServer { connection in
            // The first command has arrived by then.
            usleep(300_000)
            connection.send("HTTP/1.1 400 Bad Request\r\n\r\n")
            connection.waitForClose()
        }
        defer { other.stop() }
        #expect(
            await problem(try .init(url: "redis://127.0.0.1:\(other.port)")) == "what answers is not Redis")
        let silent = try RawServer { $0.waitForClose() }
        defer { silent.stop() }
        #expect(
            await problem(try .init(url: "redis://127.0.0.1:\(silent.port)")) == "the server did not answer in time")
        #expect(await problem(try .init(url: "redis://127.0.0.1:1")) == "no connection was established")
    }

    @Test(arguments: [
        "redis://shop.example:6379", "redis://:secret@127.0.0.1", "http://127.0.0.1", "127.0.0.1:6379", "redis://",
        "redis://127.0.0.1/1", "redis://127.0.0.1:99999",
    ])
    func `a URL that cannot be used is refused without showing it`(_ url: String) throws {
        let error = #expect(throws: RedisStore.Configuration.Invalid.self) { try RedisStore.Configuration(url: url) }
        #expect(error?.description.contains("secret") == false)
    }

    @Test func `a stopped server is noticed, and used again when it goes on`() async throws {
        let server = try RedisServer()
        defer { server.stop() }
        let store = RedisStore(configuration: try settings(server, timeout: .milliseconds(200)))
        _ = try await store.check()
        let events = Events(store)
        server.signal(SIGSTOP)
        let start = ContinuousClock.now
        try await events.wait(for: .disconnected)
        #expect(start.duration(to: .now) < .seconds(5))
        await #expect(throws: SharedStoreError.self) { try await store.claim("name", claim) }
        #expect(await store.health().state == .failing)
        #expect(await store.health().isReady)
        server.signal(SIGCONT)
        try await events.wait(for: .connected, count: 2)
        #expect(try await store.claim("name", claim) == .lead)
        await store.shutdown()
    }

    @Test func `a restarted server is used without its data, and gives no turn for the quarantine`() async throws {
        let server = try RedisServer()
        defer { server.stop() }
        let store = RedisStore(configuration: try settings(server))
        _ = try await store.check()
        let events = Events(store)
        let limit = SharedLimit(
            name: "limit", calls: 5, window: .milliseconds(100), delay: .milliseconds(10))
        try await poll { if case .start = try await store.turn(limit, patience: .seconds(1)) { true } else { false } }
        server.kill9()
        try await events.wait(for: .disconnected)
        try server.restart()
        try await events.wait(for: .connected, count: 2)
        guard case .later(let time) = try await store.turn(limit, patience: .milliseconds(100)) else {
            Issue.record("expected no turn after a restart")
            return
        }
        #expect(time > .milliseconds(500) && time <= limit.quarantine)
        await store.shutdown()
    }

    @Test func `behind a network that delays, garbles, holds or cuts, no answer is taken for another`() async throws {
        let server = try RedisServer()
        defer { server.stop() }
        let proxy = try await FlakyProxy(to: server.port)
        var configuration = try RedisStore.Configuration(url: "redis://127.0.0.1:\(proxy.port)")
        configuration.timeout = .milliseconds(300)
        let store = RedisStore(configuration: configuration)
        let direct = RedisStore(configuration: try settings(server))
        _ = try await store.check()
        _ = try await direct.check()
        let sealing = PlainSealing()
        for number in 0..<20 {
            let name = "name-\(number)"
            let entry = try #require(sealing.seal(Array(name.utf8), as: name))
            #expect(try await direct.claim(name, claim) == .lead)
            let token = SharedToken(entry: entry, tag: "tag-\(number)", remaining: .seconds(600))
            #expect(try await direct.land(name, owner: "owner", .token(token, life: .seconds(600))))
        }
        for round in 0..<4 {
            for behaviour in FlakyProxy.Behaviour.allCases {
                proxy.set(behaviour)
                await withTaskGroup(of: Void.self) { group in
                    for number in 0..<20 {
                        group.addTask {
                            // A call may fail, but a token that opens is the one that was asked for.
                            let name = "name-\(number)"
                            guard case .token(let token)? = try? await store.claim(name, claim),
                                let content = sealing.open(token.entry, as: name)
                            else { return }
                            #expect(content == Array(name.utf8), "round \(round), \(behaviour)")
                        }
                    }
                }
            }
            proxy.set(.passes)
            try await poll { await store.health().state == .ok }
        }
        try await poll { if case .token? = try? await store.claim("name-0", claim) { true } else { false } }
        await store.shutdown()
        await direct.shutdown()
        await proxy.stop()
    }

    @Test func `the scripts are sent again when the server has forgotten them`() async throws {
        let server = try RedisServer()
        defer { server.stop() }
        let store = RedisStore(configuration: try settings(server))
        _ = try await store.check()
        for number in 0..<3 {
            #expect(try await store.claim("name-\(number)", claim) == .lead)
            try server.command("SCRIPT", "FLUSH")
        }
        await store.shutdown()
    }

    @Test func `whatever somebody else writes is replaced or ends a wait, and crashes nothing`() async throws {
        let server = try RedisServer()
        defer { server.stop() }
        let store = RedisStore(configuration: try settings(server))
        _ = try await store.check()
        let keys = ["t", "l", "f"].map { "token-broker:1:{name}:\($0)" }
        for write in [["RPUSH"], ["SET"]] {
            for key in keys { try server.command(write[0], key, "garbage") }
            #expect(try await store.claim("name", claim) == .lead)
            #expect(try await store.extend("name", owner: "owner", lease: .seconds(3)))
            let token = SharedToken(entry: [1], tag: "tag", remaining: .seconds(60))
            #expect(try await store.land("name", owner: "owner", .token(token, life: .seconds(60))))
            try server.command("DEL", keys[0])
        }
        for fields in [
            ["v", "x", "i", "y"], ["v", "x", "i", "y", "x", "z", "l", "w"],
            ["v", "x", "i", "y", "x", "nan", "l", "-inf"],
            ["v", "x", "i", "y", "x", "1e308", "l", "1e308"],
        ] {
            try server.command("DEL", keys[0])
            let process = ["HSET", keys[0]] + fields
            try server.run(process)
            _ = try? await store.claim("name", claim)
            try await poll { await store.health().state == .ok }
        }
        let limit = SharedLimit(name: "limit", calls: 5, window: .milliseconds(100), delay: .milliseconds(10))
        try server.command("RPUSH", "token-broker:1:{limit}:p", "garbage")
        _ = try await store.turn(limit, patience: .seconds(1))
        try server.command("DEL", "token-broker:1:{limit}:p")
        try server.command("HSET", "token-broker:1:{limit}:p", "c", "x", "u", "1e300", "r", "y", "s0", "z")
        _ = try await store.turn(limit, patience: .seconds(1))
        for message in ["", "+", "-", "!", "! x", "!1", "!99999999999 limit", "!-1 limit", "x"] {
            try server.command("PUBLISH", "token-broker:1:events", message)
        }
        #expect(try await store.claim("another", claim) == .lead)
        await store.shutdown()
    }

    @Test func `after a fail-over the Sentinels' new primary is used, and the old one is dropped`() async throws {
        let primary = try RedisServer()
        defer { primary.stop() }
        let replica = try RedisServer(configuration: ["replicaof 127.0.0.1 \(primary.port)"])
        defer { replica.stop() }
        let sentinel = try RedisServer(
            program: "redis-sentinel",
            configuration: [
                "sentinel monitor shop 127.0.0.1 \(primary.port) 1", "sentinel down-after-milliseconds shop 1000",
                "sentinel failover-timeout shop 3000",
            ])
        defer { sentinel.stop() }
        var settings = try RedisStore.Configuration(sentinels: ["127.0.0.1:\(sentinel.port)"], primary: "shop")
        settings.timeout = .seconds(1)
        let store = RedisStore(configuration: settings)
        try await poll { await store.health().state == .ok }
        let events = Events(store)
        // The Sentinel learns of the replica from the primary.
        try await poll { try sentinel.command("SENTINEL", "REPLICAS", "shop").contains("\(replica.port)") }
        primary.signal(SIGSTOP)
        try await events.wait(for: .disconnected)
        try await events.wait(for: .connected, count: 2)
        #expect(try await store.claim("name", claim) == .lead)
        #expect(try replica.command("EXISTS", "token-broker:1:{name}:l") == "1")
        // The old primary wakes up and still calls itself one for a while.
        primary.signal(SIGCONT)
        try await Task.sleep(for: .seconds(2))
        #expect(try replica.command("ROLE").hasPrefix("master"))
        #expect(await store.health().state == .ok)
        await store.shutdown()

        settings = try RedisStore.Configuration(sentinels: ["127.0.0.1:\(sentinel.port)"], primary: "other")
        #expect(await problem(settings).contains("no primary of this name"))
    }
}
#endif
