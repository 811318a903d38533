/// Returns the candidate that is closest to `name`, or `nil` if none is close. Case, `_` and `-` are ignored.
package func nearest(to name: String, among candidates: some Sequence<String>) -> String? {
    func plain(_ text: String) -> [Character] { text.lowercased().filter { $0 != "_" && $0 != "-" } }
    guard name.count <= 64 else { return nil }
    let name = plain(name)
    return
        candidates
        .map { (candidate: $0, distance: editDistance(name, plain($0))) }
        .filter { $0.distance <= max(1, name.count / 3) }
        .min { $0.distance < $1.distance }?
        .candidate
}

/// Returns the number of insertions, deletions, substitutions and swaps of adjacent characters between two texts.
private func editDistance(_ left: [Character], _ right: [Character]) -> Int {
    var rows = [Array(0...right.count)]
    for (i, a) in left.enumerated() {
        var row = [i + 1]
        for (j, b) in right.enumerated() {
            var distance = min(rows[i][j] + (a == b ? 0 : 1), rows[i][j + 1] + 1, row[j] + 1)
            if i > 0, j > 0, a == right[j - 1], b == left[i - 1] {
                distance = min(distance, rows[i - 1][j - 1] + 1)
            }
            row.append(distance)
        }
        rows.append(row)
    }
    return rows[left.count][right.count]
}
