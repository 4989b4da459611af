/// Stands in for the files that SwiftPM embeds into the module.
enum PackageResources {
    // swift-format-ignore: AlwaysUseLowerCamelCase
    static let gateway_conf: [UInt8] = []
}
