/// Returns the shortest decimal that reads back as the same number.
func numberText(_ value: Double) -> String {
    if value.isNaN { return "NaN" }
    if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
    let text = value.description
    return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
}

/// Returns the bound of a bucket in the canonical form of OpenMetrics, such as `0.5`, `1.0` or `1e+06`.
///
/// Both formats use it: as a label, `1` would be another series than `1.0`.
///
/// - Parameter bound: A finite number.
func boundText(_ bound: Double) -> String {
    let text = bound.magnitude.description
    let sign = bound < 0 ? "-" : ""
    let parts = text.split(separator: ".")
    // Swift writes an exponent only from 2^54 on.
    guard parts.count == 2, let first = parts[0].first, parts[0].count > 6, !text.contains("e") else {
        return sign + text
    }
    var rest = (parts[0].dropFirst() + parts[1])[...]
    while rest.last == "0" { rest.removeLast() }
    let exponent = parts[0].count - 1
    return sign + String(first) + (rest.isEmpty ? "" : "." + rest) + (exponent < 10 ? "e+0" : "e+") + String(exponent)
}
