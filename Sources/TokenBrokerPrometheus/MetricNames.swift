/// The names of one metric family in both formats.
struct FamilyName: Sendable {
    let kind: MetricDescription.Kind
    /// The name without the suffix that its kind adds to samples, which is the family's name in OpenMetrics.
    let base: String
    /// The name of the family in the text format, and of the samples of any kind but a histogram.
    let full: String

    /// - Parameter label: The metric's label in swift-metrics.
    init(_ label: String, kind: MetricDescription.Kind) {
        self.kind = kind
        let name = metricName(label)
        let suffix =
            switch kind {
            case .counter: "_total"
            case .info: "_info"
            case .gauge, .histogram: ""
            }
        // A name may not be empty, so a suffix alone is not one.
        base = name.hasSuffix(suffix) && name != suffix ? String(name.dropLast(suffix.count)) : name
        full = base + suffix
    }

    func text(_ format: ExpositionFormat) -> String { format == .text ? full : base }

    /// Every name that the family uses in either format. No other family may use one of them.
    var claims: Set<String> {
        switch kind {
        case .counter: [base, full, base + "_created"]
        case .gauge, .info: [base, full]
        case .histogram: [base, base + "_bucket", base + "_sum", base + "_count", base + "_created"]
        }
    }

    /// The unit that the name ends in.
    var unit: String? { kind == .info ? nil : ["seconds", "bytes"].first { base.hasSuffix("_" + $0) } }
}

/// Returns a valid name of a metric. Characters that are not allowed become underscores.
func metricName(_ text: String) -> String { validName(text) { $0 == ":" } }

/// Returns a valid name of a label that no format reserves.
func labelName(_ text: String) -> String {
    let name = validName(text) { _ in false }
    if name == "le" || name == "quantile" { return "exported_" + name }
    return name.hasPrefix("__") ? "_" + name.drop { $0 == "_" } : name
}

private func validName(_ text: String, _ isAlsoValid: (Unicode.Scalar) -> Bool) -> String {
    var name = String.UnicodeScalarView()
    for scalar in text.unicodeScalars {
        switch scalar {
        case "0"..."9":
            if name.isEmpty { name.append("_") }
            name.append(scalar)
        case "a"..."z", "A"..."Z": name.append(scalar)
        default: name.append(isAlsoValid(scalar) ? scalar : "_")
        }
    }
    return name.isEmpty ? "_" : String(name)
}

/// Returns the labels of a series as both formats write them, without braces.
///
/// The bytes identify the series, so that equal labels in another order are the same series. A label without a value is
/// left out: to Prometheus it is the same as no label, and two such series would be duplicates.
///
/// - Parameters:
///   - dimensions: The dimensions in swift-metrics. Of those whose names become the same, the last one counts.
///   - order: The label names that come first.
func labelText(_ dimensions: [(String, String)], order: [String]) -> [UInt8] {
    var values: [String: String] = [:]
    for (name, value) in dimensions { values[labelName(name)] = value }
    let positions = values.keys.map { name in (order.firstIndex(of: name) ?? order.count, name) }
    var bytes: [UInt8] = []
    for (_, name) in positions.sorted(by: <) {
        guard let value = values[name], !value.isEmpty else { continue }
        if !bytes.isEmpty { bytes.append(UInt8(ascii: ",")) }
        bytes += name.utf8
        bytes += "=\"".utf8
        appendEscaped(value, quotes: true, to: &bytes)
        bytes.append(UInt8(ascii: "\""))
    }
    return bytes
}

/// Appends text in which backslashes and line feeds, and on request quotation marks, are escaped.
func appendEscaped(_ text: String, quotes escapesQuotes: Bool, to bytes: inout [UInt8]) {
    for byte in text.utf8 {
        switch byte {
        case UInt8(ascii: "\\"): bytes += "\\\\".utf8
        case UInt8(ascii: "\n"): bytes += "\\n".utf8
        case UInt8(ascii: "\"") where escapesQuotes: bytes += "\\\"".utf8
        default: bytes.append(byte)
        }
    }
}
