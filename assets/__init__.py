"""What exists: pure logic and the assets made of it. Imports nothing from `orchestration`."""
