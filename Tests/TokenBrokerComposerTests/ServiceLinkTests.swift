#if ConfigurationSupport
import Testing
import TokenBroker

@testable import TokenBrokerComposer

private func compose(_ values: [String: String], environment: [String: String] = credentials) async throws -> Broker {
    try await Composer(registry: .everything).compose(
        try BrokerConfiguration(yaml(values), name: "broker.yaml", environment: environment), transport: VendorDouble(),
        logger: recordingLogger().0
    )
}

/// The variables that Kubernetes sets in every container of a namespace that has a Service of that name.
private func links(_ service: String, ports: [Int] = [8080]) -> [String: String] {
    var links = ["\(service)_SERVICE_HOST": "10.0.0.7", "\(service)_SERVICE_PORT": "8080"]
    links["\(service)_SERVICE_PORT_HTTP"] = "8080"
    links["\(service)_PORT"] = "tcp://10.0.0.7:8080"
    for port in ports {
        links["\(service)_PORT_\(port)_TCP"] = "tcp://10.0.0.7:\(port)"
        links["\(service)_PORT_\(port)_TCP_PROTO"] = "tcp"
        links["\(service)_PORT_\(port)_TCP_PORT"] = "\(port)"
        links["\(service)_PORT_\(port)_TCP_ADDR"] = "10.0.0.7"
    }
    return links
}

@Suite struct `Service links of Kubernetes` {
    @Test(arguments: [
        links("TOKEN_BROKER"), links("TOKEN_BROKER", ports: [80, 8080, 65535]), links("TOKEN_BROKER_SERVER"),
        links("TOKEN_BROKER_ACCESS"), links("TOKEN_BROKER").merging(links("TOKEN_BROKER_SERVER")) { $1 },
        links("TOKEN_BROKER").with(["TOKEN_BROKER_PORT": "udp://10.0.0.7:53"]),
        links("TOKEN_BROKER_SERVER").with(["TOKEN_BROKER_SERVER_PORT": "sctp://10.0.0.7:1"]),
    ])
    func `Kubernetes service links are ignored without a warning`(environment: [String: String]) throws {
        #expect(try warnings(minimal, environment: environment) == [])
        #expect(try settings(minimal, environment: environment).server.port == 8080)
    }

    @Test func `Kubernetes service links do not hide a key whose value is a number`() throws {
        let environment = links("TOKEN_BROKER_SERVER").with(["TOKEN_BROKER_SERVER_PORT": "9000"])
        #expect(try settings(minimal, environment: environment).server.port == 9000)
    }

    @Test(arguments: [
        "TOKEN_BROKER_SERVER_PROT", "TOKEN_BROKER_PORTS", "TOKEN_BROKER_PORT_HTTP_TCP", "TOKEN_BROKER_PORT_8080",
        "TOKEN_BROKER_SERVICE", "TOKEN_BROKER_VENDOR_ENVIROMENT", "TOKEN_BROKER_PORT_99999_TCP",
    ])
    func `Kubernetes service links do not hide a misspelled variable`(name: String) throws {
        let warnings = try warnings(minimal, environment: links("TOKEN_BROKER").with([name: "1"]))
        #expect(warnings.count == 1 && warnings.allSatisfy { $0.contains(name) })
    }

    @Test func `variables are not service links unless a service has that name`() throws {
        var environment = links("TOKEN_BROKER")
        environment["TOKEN_BROKER_SERVICE_HOST"] = nil
        #expect(try warnings(minimal, environment: environment).count == environment.count)
        environment = ["TOKEN_BROKER_SERVER_PORT": "tcp://10.0.0.7:8080", "OTHER_SERVICE_HOST": "10.0.0.8"]
        #expect(problems(minimal, environment: environment).map(\.place) == ["TOKEN_BROKER_SERVER_PORT"])
    }
}

@Suite struct `A tab that indents` {
    @Test(arguments: [
        ("vendor:\n\tenvironment: demo\n", 2), ("vendor:\n  profile: a\n\tenvironment: demo\n", 3),
        ("vendor:\n  \tenvironment: demo\n", 2), ("vendor: 1\n\tenvironment: demo\n", 2),
    ])
    func `a tab that indents YAML is reported as such`(text: String, line: Int) throws {
        let error = #expect(throws: ConfigurationError.self) {
            try BrokerConfiguration(text, name: "broker.yaml", environment: [:])
        }
        #expect("\(try #require(error))" == "broker.yaml:\(line): tabs cannot indent YAML; use spaces")
    }

    @Test func `a tab in JSON is accepted, and tabs are not blamed for other errors`() throws {
        _ = try BrokerConfiguration("{\n\t\"vendor\": {\n\t\t\"environment\": \"demo\"}}", environment: [:])
        let error = #expect(throws: ConfigurationError.self) { try BrokerConfiguration("a: @b\n", environment: [:]) }
        #expect(!"\(try #require(error))".contains("tabs"))
    }
}

@Suite struct `What is told about secrets` {
    private let forwarded = [
        "vendor.environment": "demo", "access.authenticator.kind": "forwarded",
        "access.authenticator.subjectHeader": "X-User", "access.policy.kind": "claim",
        "access.policy.invoice": "invoices",
    ]

    @Test(arguments: ["secret", "proxySecret", "sharedSecret", "client_secret"])
    func `a secret under an authenticator is answered with the keys for its location`(name: String) throws {
        let values = forwarded.with([
            "access.authenticator.\(name)": "sentinel", "access.authenticator.trustedPeers": "[10.0.0.1]",
        ])
        let problem = try #require(problems(values).first)
        #expect(problem.code == .secret && problem.message.contains("secretFile or secretVariable"))
        #expect(!problem.description.contains("sentinel"))
    }

    @Test func `a secret in another section is answered with that section's keys for its location`() throws {
        let key = try #require(problems(minimal.with(["audit.key": "sentinel"])).first)
        #expect(key.message.contains("keyFile or keyVariable"))
        let passphrase = try #require(problems(minimal.with(["transport.passphrase": "sentinel"])).first)
        #expect(passphrase.message.contains("clientKeyPassphraseVariable"))
        let vendor = try #require(problems(minimal.with(["vendor.clientSecret": "sentinel"])).first)
        #expect(vendor.message.contains("\"credentials\""))
    }

    @Test func `a missing secret file is reported with line and key`() async throws {
        let nested = forwarded.filter { !$0.key.hasPrefix("access.policy") }.with([
            "access.authenticator.trustedPeers": "[10.0.0.1]", "access.policy.kind": "all",
            "access.policy.of.mine.kind": "callback", "access.policy.of.mine.url": "\"https://a.example/\"",
        ])
        for (values, key) in [
            (forwarded, "access.authenticator.secretFile"), (minimal, "audit.keyFile"),
            (nested, "access.policy.of.mine.secretFile"),
        ] {
            let values = values.with([key: "/nowhere/secret"])
            let error = await #expect(throws: ConfigurationError.self) { try await compose(values) }
            let problem = try #require(error?.problems.first)
            #expect(problem.key == key)
            #expect(problem.place.hasPrefix("broker.yaml:"))
            #expect(problem.message == "it cannot be used: file /nowhere/secret: no such file")
        }
    }

    @Test func `an error about missing credentials says where each source looked`() async throws {
        let values = minimal.with([
            "credentials.sources": "[environment, file, directory]", "credentials.file.path": "/nowhere/vendor.json",
        ])
        let broker = try await compose(values, environment: [:])
        let check = await #expect(throws: TokenError.self) { try await broker.checkCredentials() }
        let fetch = await #expect(throws: TokenError.self) {
            try await broker.accessTokens.token(for: TokenRequest())
        }
        for message in try [#require(check).message, #require(fetch).message] {
            for place in [
                "ALTERNATIVE_CLIENT_ID", "ALTERNATIVE_CLIENT_SECRET, which are not set", "/nowhere/vendor.json",
                "CREDENTIALS_DIRECTORY",
            ] { #expect(message.contains(place), "\(message)") }
        }
        #expect(check?.message.contains("credentials.sources") == true)
        try await compose(minimal).checkCredentials()
    }
}
#endif
