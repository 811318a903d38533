/// Returns the families with all their series as text.
func exposition(of families: [Family], _ format: ExpositionFormat) -> [UInt8] {
    var writer = ExpositionWriter(format: format)
    let named = families.map { (name: $0.name.text(format), family: $0) }
    for (name, family) in named.sorted(by: { $0.name < $1.name }) { writer.append(family, named: name) }
    if format == .openMetrics { writer.bytes += "# EOF\n".utf8 }
    return writer.bytes
}

/// Writes the text format or OpenMetrics.
private struct ExpositionWriter {
    let format: ExpositionFormat
    var bytes: [UInt8] = []

    mutating func append(_ family: Family, named name: String) {
        appendMetadata(family, name)
        let bounds = family.name.kind == .histogram ? family.bounds.map(boundText) + ["+Inf"] : []
        // OpenMetrics allows no sum, and therefore no count, where values are expected that decrease it.
        let hasSum = format == .text || (family.bounds.first ?? 0) >= 0
        for (labels, series) in family.series.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
            switch series {
            case .counter(let series): appendSample(family.name.full, labels, series.text)
            case .gauge(let series):
                appendSample(family.name.full, labels, family.name.kind == .info ? "1" : numberText(series.value))
            case .histogram(let series): append(series.values, name, labels, bounds, hasSum: hasSum)
            }
        }
    }

    private mutating func appendMetadata(_ family: Family, _ name: String) {
        let kind = family.name.kind == .info && format == .text ? .gauge : family.name.kind
        if format == .openMetrics {
            appendComment("TYPE", name, kind.rawValue)
            if let unit = family.name.unit { appendComment("UNIT", name, unit) }
        }
        appendComment("HELP", name, family.help)
        if format == .text { appendComment("TYPE", name, kind.rawValue) }
    }

    private mutating func appendComment(_ keyword: String, _ name: String, _ text: String) {
        bytes += "# \(keyword) \(name) ".utf8
        appendEscaped(text, quotes: format == .openMetrics, to: &bytes)
        bytes.append(UInt8(ascii: "\n"))
    }

    private mutating func append(
        _ values: HistogramSeries.Values, _ name: String, _ labels: [UInt8], _ bounds: [String], hasSum: Bool
    ) {
        let bucket = name + "_bucket"
        var count: UInt64 = 0
        for (bound, inBucket) in zip(bounds, values.counts) {
            count += inBucket
            appendSample(bucket, labels, le: bound, String(count))
        }
        guard hasSum else { return }
        appendSample(name + "_sum", labels, numberText(values.sum))
        appendSample(name + "_count", labels, String(count))
    }

    private mutating func appendSample(_ name: String, _ labels: [UInt8], le bound: String? = nil, _ value: String) {
        bytes += name.utf8
        if !labels.isEmpty || bound != nil {
            bytes.append(UInt8(ascii: "{"))
            bytes += labels
            if let bound {
                if !labels.isEmpty { bytes.append(UInt8(ascii: ",")) }
                bytes += "le=\"".utf8
                bytes += bound.utf8
                bytes.append(UInt8(ascii: "\""))
            }
            bytes.append(UInt8(ascii: "}"))
        }
        bytes.append(UInt8(ascii: " "))
        bytes += value.utf8
        bytes.append(UInt8(ascii: "\n"))
    }
}
