# A load of `make bench`: hashes, regular expressions, lists and strings.
my (%count, $sum);
for my $i (1 .. 9000) {
    my $word = join '-', map { ($i * $_) % 97 } 2 .. 5;
    $count{$word}++;
    $sum += length $1 if $word =~ /(\d+-\d+)$/;
    $sum += ord substr(uc "word$word", $i % 7, 1);
}
my @order = sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count;
(my $text = "@order[0 .. 40]") =~ s/(\d)-/<$1>/g;
printf "%d %d %s\n", $sum, scalar @order, substr $text, 0, 60;
