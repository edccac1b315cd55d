
set edit:completion:arg-completer[hardy] = { |@words|
    var index = (count $words)
    set index = (- $index 1)

    put (env _CLAP_IFS="\n" _CLAP_COMPLETE_INDEX=(to-string $index) HARDY_COMPLETE="elvish" hardy -- $@words) | to-lines
}

