import HTTPTypes

extension HTTPFields {
    /// Returns the values of a field for which this package's dependencies have no name, in order.
    /// - Parameter name: The name in lower case.
    func values(named name: String) -> [String] { filter { $0.name.canonicalName == name }.map(\.value) }

    /// Returns the same values as one list (RFC 9110, section 5.3); `nil` if there is no such field.
    func joined(_ name: String) -> String? {
        let values = values(named: name)
        return values.isEmpty ? nil : values.joined(separator: ",")
    }
}
