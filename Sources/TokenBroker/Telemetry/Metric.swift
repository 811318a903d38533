package import Metrics

/// A metric of this package, as the documentation and scrapers describe it.
///
/// Every metric is made from one of these, so that no metric is without a description. They are listed in ``all``.
package struct Metric: Sendable {
    package enum Kind: String, Sendable {
        case counter, gauge
        /// A distribution of durations. Metrics takes them in nanoseconds; they are shown in seconds.
        case timer
        /// A gauge of value 1, whose labels carry the information.
        case info
    }

    package struct Label: Sendable {
        package var name: String
        /// The values, in Markdown.
        package var values: String
    }

    package var name: String
    package var kind: Kind
    package var labels: [Label]
    /// One sentence, in plain text.
    package var help: String

    package init(_ name: String, _ kind: Kind, _ labels: [Label] = [], _ help: String) {
        (self.name, self.kind, self.labels, self.help) = (name, kind, labels, help)
    }
}

extension Metric.Label {
    static let account = Self(name: "account", values: "the id of the vendor's profile")
    static let step = Self(name: "step", values: "`access_token`, `checkout_token`, `invoice_lookup`")

    fileprivate static func named(_ name: String, _ values: String) -> Self { Self(name: name, values: values) }
}

/// A name and a value of a label.
package typealias Dimension = (String, String)

extension Counter {
    package convenience init(_ metric: Metric, _ dimensions: [Dimension] = []) {
        self.init(label: metric.name, dimensions: dimensions)
    }
}

extension Meter {
    package convenience init(_ metric: Metric, _ dimensions: [Dimension] = []) {
        self.init(label: metric.name, dimensions: dimensions)
    }
}

extension Metrics.Timer {
    package convenience init(_ metric: Metric, _ dimensions: [Dimension] = []) {
        self.init(label: metric.name, dimensions: dimensions)
    }
}

// MARK: The metrics

extension Metric {
    // Requests

    static let requests = Self(
        "token_broker_requests_total", .counter,
        [
            .named("code", "`ok`, or the `code` of the [error](http-api.md#errors)"),
            .named("reason", "the [reason](troubleshooting.md#by-reason-of-the-log-event) in the log"),
        ], "Requests for a checkout token, by their outcome.")
    static let requestDuration = Self(
        "token_broker_request_duration_seconds", .timer, [],
        "Time from the head of a request for a checkout token to its response.")
    static let requestsInFlight = Self(
        "token_broker_requests_in_flight", .gauge, [], "Requests for a checkout token that have no response yet.")
    package static let connections = Self(
        "token_broker_connections", .gauge, [], "Open connections of clients.")

    // Tokens

    static let cacheLookups = Self(
        "token_broker_cache_lookups_total", .counter, [.step, .account, .named("result", "`hit`, `miss`")],
        "Requests to a token cache.")
    static let cacheEvictions = Self(
        "token_broker_cache_evictions_total", .counter, [.step, .account], "Cache entries that made room for others.")
    static let cacheEntries = Self(
        "token_broker_cache_entries", .gauge, [.step, .account], "Entries in a token cache.")
    static let tokenExpiry = Self(
        "token_broker_token_expiry_seconds", .gauge, [.step, .account],
        "Remaining lifetime of the longest-lived token that is held; zero or negative if none is.")
    static let fetches = Self(
        "token_broker_token_fetches_total", .counter, [.step, .account, .named("outcome", "`ok`, or an error code")],
        "Attempts to get a token.")
    static let fetchDuration = Self(
        "token_broker_token_fetch_duration_seconds", .timer, [.step, .account], "Duration of an attempt to get a token."
    )
    static let retries = Self(
        "token_broker_token_retries_total", .counter, [.step, .account], "Attempts that repeated a failed one.")
    static let credentialsRefused = Self(
        "token_broker_credentials_refused", .gauge, [.account],
        "Credentials in the source that the vendor refuses.")

    // The vendor

    static let vendorCalls = Self(
        "token_broker_vendor_calls_total", .counter,
        [.step, .account, .named("result", "a status, or an error code")], "Calls to the vendor.")
    static let vendorCallDuration = Self(
        "token_broker_vendor_call_duration_seconds", .timer, [.step, .account],
        "Duration of a call to the vendor, including the wait for its turn.")
    static let breakerOpen = Self(
        "token_broker_breaker_open", .gauge, [.step, .account],
        "1 while the vendor refuses all credentials (access_token), or requests with new access tokens "
            + "(checkout_token, invoice_lookup); otherwise 0.")
    static let clockDifference = Self(
        "token_broker_clock_difference_seconds", .gauge, [.step, .account],
        "The vendor's clock minus the clock of this machine.")

    // The rate limit

    static let rateLimitQueue = Self(
        "token_broker_rate_limit_queue_length", .gauge, [.account], "Calls that wait for their turn.")
    static let rateLimitWait = Self(
        "token_broker_rate_limit_wait_seconds", .timer, [.account], "How long calls waited for their turn.")
    static let rateLimitThrottled = Self(
        "token_broker_rate_limit_throttled_total", .counter, [.account, .named("by", "`rate_limit`, `vendor`")],
        "Calls that the broker turned away, and calls that the vendor throttled.")

    // The fleet

    package static let fleetConnected = Self(
        "token_broker_fleet_connected", .gauge, [], "1 while the fleet's store can be used, otherwise 0.")
    package static let fleetCommands = Self(
        "token_broker_fleet_commands_total", .counter,
        [
            .named("command", "`claim`, `extend`, `land`, `turn`, `settle`, `cool_down`, `probe`"),
            .named("outcome", "`ok`, `disconnected`, `timed_out`, `refused`"),
        ], "Commands sent to the fleet's store.")
    package static let fleetCommandDuration = Self(
        "token_broker_fleet_command_duration_seconds", .timer, [.named("command", "as above")],
        "How long the fleet's store took to answer.")
    static let fleetClaims = Self(
        "token_broker_fleet_claims_total", .counter,
        [.step, .named("answer", "`token`, `failure`, `lead`, `follow`")],
        "Answers of the fleet's store to claims. A process that follows claims again.")
    static let fleetFallbacks = Self(
        "token_broker_fleet_fallbacks_total", .counter,
        [.named("reason", "`disconnected`, `timed_out`, `refused`, `unusable`")],
        "Tokens that were requested without the fleet's store. It holds something that cannot be opened if the reason "
            + "is unusable.")

    // The process

    package static let logLinesDropped = Self(
        "token_broker_log_lines_dropped_total", .counter, [], "Log lines that were dropped because nobody read them.")
    package static let buildInfo = Self(
        "token_broker_build_info", .info, [.named("version", "the version")], "The version of the program.")
    package static let seriesDropped = Self(
        "token_broker_metrics_series_dropped_total", .counter, [.named("metric", "the name of the metric")],
        "Metrics that were not recorded, because there were too many label values or the name was taken.")
    package static let processStart = Self(
        "process_start_time_seconds", .gauge, [], "When the process started, in seconds since the Unix epoch.")

    /// All metrics of the package, in the order of the documentation.
    package static let all: [Metric] = [
        requests, requestDuration, requestsInFlight, connections, cacheLookups, cacheEvictions, cacheEntries,
        tokenExpiry, fetches, fetchDuration, retries, credentialsRefused, vendorCalls, vendorCallDuration, breakerOpen,
        clockDifference, rateLimitQueue, rateLimitWait, rateLimitThrottled, fleetConnected, fleetCommands,
        fleetCommandDuration, fleetClaims, fleetFallbacks, logLinesDropped, buildInfo, seriesDropped, processStart,
    ]
}
