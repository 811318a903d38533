/// Path and query of a request target, and the authority if the target is in absolute form (RFC 9112, section 3.2.2), where it counts more
/// than `Host`. Any other form is handed back as it is.
package func originForm(ofTarget target: String) -> (path: String, authority: String?) {
    guard !target.hasPrefix("/"), let colon = target.firstIndex(of: ":"),
        ["http", "https"].contains(target[..<colon].lowercased()), target[colon...].hasPrefix("://")
    else { return (target, nil) }
    let rest = target[colon...].dropFirst(3)
    let end = rest.firstIndex { $0 == "/" || $0 == "?" } ?? rest.endIndex
    let path = rest[end...]
    return (path.hasPrefix("/") ? String(path) : "/\(path)", String(rest[..<end]))
}
