#if ConfigurationSupport
import HTTPTypes
import TokenBroker

/// The section `route`: the checkout token endpoint, which pages call.
enum RouteSection {
    static let path = ["route"]

    struct Keys: ConfigurationKeys {
        let path = ConfigurationKey(
            "path", .text.filter("a path such as /api/checkout-token") { isPath($0) }, default: "/api/checkout-token",
            "The path of the endpoint from which pages request tokens."
        )
        let timeout = ConfigurationKey(
            "timeout", .duration(.milliseconds(1) ... .seconds(300)), default: .seconds(8), formerly: "deadline",
            "The time within which every request is answered."
        )
        let allowedOrigins = ConfigurationKey(
            "allowedOrigins", .list(of: .origin), default: [],
            "The origins of other sites whose pages may request tokens."
        )
        let allowedHeaders = ConfigurationKey(
            "allowedHeaders", .list(of: pageField), default: [],
            "The header fields that pages of those sites may send besides `Authorization`, `Content-Type`, `baggage`, "
                + "`sentry-trace`, `traceparent` and `tracestate`."
        )
        let openAPIPath = ConfigurationKey(
            "openapiPath", .pathOrNone("/openapi.json"), default: nil, "The path that serves the OpenAPI document.")
        let concurrentRequests = ConfigurationKey(
            "concurrentRequests", .integer(1...1_000_000), default: RequestLimits().concurrentRequests,
            "The number of requests that may be in progress at once; further ones are told to retry later."
        )

        private static let pageField: ConfigurationType<HTTPField.Name> = ConfigurationType.text.map(
            "the name of a header field that pages set themselves, not one that browsers or proxies set",
            text: { $0.rawName }
        ) { text in
            HTTPField.Name(text).flatMap { $0.mayComeFromPages ? $0 : nil }
        }
    }

    static func read(_ reader: ConfigurationReader) -> ConfigurationValues<Keys>? { reader.read(Keys(), in: path) }
}

/// Whether a path is interpreted in the same way by all servers and proxies: letters, digits and `-._~` between
/// slashes, and no dot or empty segments except for an empty last one.
private func isPath(_ text: String) -> Bool {
    let segments = text.split(separator: "/", omittingEmptySubsequences: false)
    return text.utf8.count <= 200 && segments.count > 1 && segments.first == ""
        && segments.dropFirst().dropLast().allSatisfy { !$0.isEmpty }
        && segments.allSatisfy { $0 != "." && $0 != ".." }
        && text.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "-._~/".contains($0)) }
}

extension ConfigurationType where Value == String? {
    /// A path, or the word `none`.
    static func pathOrNone(_ example: String) -> Self {
        let type = ConfigurationType<String>.text.filter("a path such as \(example), or none") {
            $0 == "none" || isPath($0)
        }
        return type.map(type.description, text: { $0 ?? "none" }, { .some($0 == "none" ? nil : $0) })
    }
}
#endif
