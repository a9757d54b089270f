"""What docs/shift-benchmark.md says beside the numbers."""

INTRODUCTION = """# The shift test beside its peers

Made by `make bench-shift` (`benchmarks/shift/`); numbers in [shift-benchmark.json](shift-benchmark.json).

A stream is a year of daily counts after 28 days of reference: 8 topics of uneven size, 30% of the answers labelled.
What a kind of stream adds is in `benchmarks/shift/streams.py`. A trigger counts as a fine-tune; after it, the next
28 days are the reference anew and evidence starts from nothing. Peers see the same columns, attribution and topics
included: "residual" is attributed failure minus the topic's rate in the reference, the fairest rival, and topics
without a rate abstain. "Tuned" peers have the most sensitive setting that is as quiet as our test on the pooled
kinds, found on other streams. Systems that read row by row get at most 300 labelled rows a day, a random part of
them at 100,000 interactions. Evidently runs on a quarter of the streams. The oracle is a CUSUM that knows the topic
baselines, the law after the change and its topics, at 5% false alarms a year.

Figures under "Reach" are for 100 interactions a day where no other number is named. Why some goals are missed:
[decisions/0009](decisions/0009-the-sequential-test.md)."""

LIMITS = """## How to read this

* "this test" is what would be fine-tuned: when the label watch has fired, events that see labelled rows only may
  propose and not spend. "this test, proposals" leaves that guard out.
* The oracle takes days as independent: under day effects (`ar1`) its threshold rises, and it is no bound.
* Counts cannot tell a lasting change of the audience within a topic from a change of behavior.
* The kinds are simulations, or real texts with simulated wishes: no stream is a log of real users."""
