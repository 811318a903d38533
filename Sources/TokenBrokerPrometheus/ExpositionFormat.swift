/// A format in which Prometheus reads metrics.
public enum ExpositionFormat: Sendable, Hashable, CaseIterable {
    /// The text format of Prometheus, version 0.0.4.
    case text
    /// OpenMetrics, version 1.0.0.
    case openMetrics

    /// The value of the field `Content-Type`.
    public var contentType: String {
        switch self {
        case .text: "text/plain; version=0.0.4; charset=utf-8"
        case .openMetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8"
        }
    }

    /// Chooses the format that a client prefers (RFC 9110, section 12.5.1).
    ///
    /// OpenMetrics is chosen only if the client accepts version 1.0.0 and prefers it to the text format, or ranks both
    /// the same and names OpenMetrics. Anything else gets the text format, including a field that is malformed or that
    /// accepts neither.
    ///
    /// - Parameter accept: The value of the field `Accept`; several are joined by commas. `nil` if there is none.
    public init(accept: String?) {
        self = .text
        guard let accept, let ranges = MediaRange.list(accept) else { return }
        let openMetrics = Self.openMetrics.rank(ranges)
        let text = Self.text.rank(ranges)
        let isNamed = openMetrics.specificity >= MediaRange.namedSpecificity
        guard openMetrics.quality > 0 else { return }
        if openMetrics.quality > text.quality || openMetrics.quality == text.quality && isNamed { self = .openMetrics }
    }

    private var mediaType: (type: String, subtype: String, version: String) {
        switch self {
        case .text: ("text", "plain", "0.0.4")
        case .openMetrics: ("application", "openmetrics-text", "1.0.0")
        }
    }

    /// Returns the quality that the most specific range gives the format: zero if none matches.
    private func rank(_ ranges: [MediaRange]) -> (specificity: Int, quality: Int) {
        let (type, subtype, version) = mediaType
        let ranks = ranges.compactMap { range in
            range.specificity(for: type, subtype, version: version).map { (specificity: $0, quality: range.quality) }
        }
        return ranks.max(by: <) ?? (specificity: 0, quality: 0)
    }
}
