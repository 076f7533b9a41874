"""Rules over several devices, as a site file has them: which members meet a condition, and what that means.

`rule` reads them, `check` says what is wrong with one, `counting` counts members, `groups` judges by event time,
`places` says what such an alarm is about, `store` reads them for intake.
"""
