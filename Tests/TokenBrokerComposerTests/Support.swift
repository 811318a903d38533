#if ConfigurationSupport
import HTTPTypes
import InMemoryLogging
import Logging
import Synchronization
import Testing
import TokenBroker

#if CommandSupport
import TokenBrokerSubprocess
#endif
#if CryptoSupport
import TokenBrokerCrypto
#endif
#if CurlSupport
import CurlTransport
#endif
#if JWTSupport
import TokenBrokerJWT
#endif

@testable import TokenBrokerComposer

extension Registry {
    /// The plug-ins of all adapters whose traits are on, as in the program.
    static let everything: Registry = {
        var registry = Registry.standard
        #if CommandSupport
        registry.replace(.command)
        #endif
        #if CryptoSupport
        registry.replace(HMACSHA256())
        registry.replaceSealing { try FleetSealing(keys: $0) }
        #endif
        #if CurlSupport
        registry.replace(.curl)
        #else
        registry.replace(TransportPlugin("curl", "Stands in for it.") { _ in VendorDouble() })
        #endif
        #if JWTSupport
        registry.replace(.jwt)
        registry.replace(.pem)
        #endif
        return registry
    }()
}

/// The smallest valid configuration: everything else has a default.
let minimal = ["vendor.environment": "demo", "access.mode": "open"]

/// Returns YAML with these keys, and with each value unchanged.
func yaml(_ values: [String: String]) -> String {
    func lines(_ values: [(path: ArraySlice<Substring>, value: String)], indentation: String) -> [String] {
        Dictionary(grouping: values) { $0.path.first ?? "" }.sorted { $0.key < $1.key }.flatMap { name, members in
            if members.count == 1, let only = members.first, only.path.count == 1 {
                return ["\(indentation)\(name): \(only.value)"]
            }
            return ["\(indentation)\(name):"]
                + lines(members.map { ($0.path.dropFirst(), $0.value) }, indentation: indentation + "  ")
        }
    }
    return lines(values.map { ($0.key.split(separator: ".")[...], $0.value) }, indentation: "")
        .joined(separator: "\n") + "\n"
}

/// Returns the settings that result from these keys.
func settings(
    _ values: [String: String], environment: [String: String] = [:], registry: Registry = .everything
) throws -> Settings {
    let reader = ConfigurationReader(
        try BrokerConfiguration(yaml(values), name: "broker.yaml", environment: environment)
    )
    guard let settings = Settings(reader, registry) else { throw ConfigurationError(reader.problems) }
    return settings
}

/// Returns the problems with these keys.
func problems(
    _ values: [String: String], environment: [String: String] = [:], registry: Registry = .everything,
    sourceLocation: SourceLocation = #_sourceLocation
) -> [ConfigurationError.Problem] {
    let error = #expect(throws: ConfigurationError.self, sourceLocation: sourceLocation) {
        try settings(values, environment: environment, registry: registry)
    }
    return error?.problems ?? []
}

/// Returns the warnings about these keys.
func warnings(_ values: [String: String], environment: [String: String] = [:]) throws -> [String] {
    let reader = ConfigurationReader(
        try BrokerConfiguration(yaml(values), name: "broker.yaml", environment: environment)
    )
    _ = Settings(reader, .everything)
    return reader.warnings
}

/// Returns a logger and the handler that records its entries.
func recordingLogger() -> (Logger, InMemoryLogHandler) {
    let handler = InMemoryLogHandler()
    var logger = Logger(label: "test") { _ in handler }
    logger.logLevel = .trace
    return (logger, handler)
}

/// A record of the order in which parts are built and shut down.
final class Diary: Sendable {
    private let content = Mutex<[String]>([])
    var entries: [String] { content.withLock { $0 } }
    func note(_ entry: String) { content.withLock { $0.append(entry) } }
}

/// A transport that responds like the vendor, and records its requests and its shutdown in a diary.
struct VendorDouble: HTTPTransport, ShutsDown {
    var diary = Diary()

    func send(
        _ request: HTTPRequest, body: [UInt8], options: TransportOptions
    ) async throws(TransportError) -> TransportResponse {
        diary.note(
            "\(request.method.rawValue) \(request.scheme ?? "")://\(request.authority ?? "")\(request.path ?? "")")
        switch request.path {
        case "/oauth/token":
            // base64 of id:secret
            guard request.headerFields[.authorization] == "Basic aWQ6c2VudGluZWwtc2VjcmV0" else {
                return refusal(.forbidden)
            }
            return answer(#"{"access_token": "sentinel-access", "expires_in": 3600, "token_type": "bearer"}"#)
        case "/v1/checkout-auth/init":
            // A token whose claims are {"customer_id":"cus_1","invoice_id":"inv_1","exp":4102444800}.
            return answer(
                #"{"token": "e30.eyJjdXN0b21lcl9pZCI6ImN1c18xIiwiaW52b2ljZV9pZCI6Imludl8xIiwiZXhwIjo0MTAyNDQ0ODAwfQ.c2ln"}"#
            )
        default:
            return refusal(.notFound)
        }
    }

    func shutdown() async { diary.note("transport down") }

    private func refusal(_ status: HTTPResponse.Status) -> TransportResponse {
        TransportResponse(
            head: HTTPResponse(status: status), body: Array(#"{"code": "refused", "message": "own words"}"#.utf8))
    }

    private func answer(_ text: String) -> TransportResponse {
        TransportResponse(head: HTTPResponse(status: .ok), body: Array(text.utf8))
    }
}

/// The credentials that ``VendorDouble`` accepts.
let credentials = ["ALTERNATIVE_CLIENT_ID": "id", "ALTERNATIVE_CLIENT_SECRET": "sentinel-secret"]
#endif
